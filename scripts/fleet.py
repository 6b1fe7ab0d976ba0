"""How large a fleet of relays has to be: the tables of docs/growing-a-fleet.md, or your own.

    .venv/bin/python -m scripts.fleet --bitrate 24 --cores 16 --gigabits 25
    .venv/bin/python -m scripts.fleet --node-price 0.4 --traffic-price 0.05    what a call costs you
    .venv/bin/python -m scripts.fleet --write              the document (scripts/gen-docs)

Rule of the file: a number is measured (`PLANES`, `ALLOCATION`, with where it stands), an RFC's, or
the reader's own. After another `scripts/bench relay`, scripts/gen-docs is all there is to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import click

from scripts.benchmarks._relay_cells import Load, Run, Store
from scripts.benchmarks._relay_contenders import ASYNCIO, DIRECT, KERNEL, UVLOOP
from scripts.benchmarks._relay_matrix import USUAL
from scripts.benchmarks.relay import KEPT

TARGET = Path(__file__).parent.parent / "docs" / "growing-a-fleet.md"


class Plane(NamedTuple):
    """Who forwards packets, and how many seconds of a CPU one takes."""

    name: str
    seconds: float


SPEECH = Load(200, 172, "both", 20_000)
"""What a packet's time is taken of: 200 calls of 100 packets a second."""


def planes(runs: Mapping[str, Run]) -> tuple[Plane, ...]:
    """Return what `scripts/bench relay` measured; the first is what the tables go by.

    The kernel's plane works while the packet is sent, so its time is what sending it took longer
    than where nobody relays (docs/performance.md).

    Raises: LookupError: nothing was measured.
    """
    run = runs.get("full", Run())
    took = {name: run.median(name, SPEECH, "server_us") for name in (UVLOOP, ASYNCIO)}
    ours = run.median(KERNEL, SPEECH, "server_us")
    sending = run.median(KERNEL, SPEECH, "sender_us")
    without = run.median(DIRECT, USUAL, "sender_us")  # where nobody relays, calls are all alike
    if ours is not None and sending is not None and without is not None:
        took[KERNEL] = ours + max(0.0, sending - without)
    found = tuple(Plane(name, us / 1e6) for name, us in took.items() if us)
    if not found:
        raise LookupError(f"{KEPT} has no speech: scripts/bench relay measures it")
    return found


PLANES = planes(Store(Path(__file__).parent.parent / KEPT).runs)


class Allocation(NamedTuple):
    """What an allocation takes, whatever it carries.

    Attributes:
        memory:  bytes.
        seconds: of CPU to make it, with its 401 and a channel.
    """

    memory: float
    seconds: float
    sources: tuple[tuple[str, str], ...]


ALLOCATION = Allocation(
    4.72e3,
    464e-6,
    (
        ("measurements.md", "| memory an allocation, at 5,000 | 4.72 kB |"),
        ("measurements.md", "| CPU an allocation, 401 and channel included | 464 µs |"),
    ),
)

RTP, SRTP_TAG, CHANNEL_DATA, UDP = 12, 10, 4, 8
"""Bytes (RFC 3550 §5.1; RFC 3711 §5.2, HMAC-SHA1-80; RFC 8656 §12.4; RFC 768)."""

IPV4, IPV6 = 20, 40
"""Bytes (RFC 791, RFC 8200)."""

DYNAMIC_PORTS = 65535 - 49152 + 1
"""What `--relay-ports` is unless told (RFC 6335 §6)."""

SIZES = (10**3, 10**6, 10**8)
"""Concurrent calls that the document has."""

BITRATES = (24, 32, 64)


@dataclass(frozen=True, slots=True)
class Call:
    """Speech both ways, a stream of RTP each; RTCP, at most 5 % more (RFC 3550 §6.2), is left out.

    Attributes:
        bitrate:     kb/s of Opus.
        packets:     a second, each way: one for 20 ms.
        allocations: 1 where one end goes by a relay, 2 where both do.
        ip:          bytes of the IP header.
    """

    bitrate: float = 32
    packets: int = 50
    allocations: int = 1
    ip: int = IPV4

    @property
    def at_peer(self) -> float:
        """Bytes of an IP packet between relay and peer."""
        return self.bitrate * 1000 / 8 / self.packets + RTP + SRTP_TAG + UDP + self.ip

    @property
    def at_client(self) -> float:
        """Bytes of an IP packet between client and relay."""
        return self.at_peer + CHANNEL_DATA

    @property
    def relayed(self) -> int:
        """Packets a second that relays forward for it."""
        return 2 * self.packets * self.allocations

    @property
    def traffic(self) -> float:
        """Bits a second into its relays; as many go out. What comes in from a client goes out to a
        peer four bytes shorter, and the other way round, so the two are the same.
        """
        return 8 * self.packets * (self.at_client + self.at_peer) * self.allocations

    @property
    def gigabytes_an_hour(self) -> float:
        """Traffic out of its relays, in 10^9 bytes."""
        return self.traffic / 8 * 3600 / 1e9


@dataclass(frozen=True, slots=True)
class Node:
    """One machine; all of it is the reader's.

    Attributes:
        load:      share of its cores and of its bandwidth that calls may take: the rest is for the
                   busiest minute, and for the calls of a node that ends.
        addresses: that it relays from.
        ports:     to relay from, at each.
        gigabits:  a second, each way.
    """

    cores: int = 8
    load: float = 0.5
    addresses: int = 1
    ports: int = DYNAMIC_PORTS
    gigabits: float = 10
    plane: Plane = PLANES[0]

    def limits(self, call: Call) -> dict[str, int]:
        """Return how many such calls each of its parts carries."""
        return {
            "CPU": int(self.cores * self.load / (call.relayed * self.plane.seconds)),
            "ports": self.addresses * self.ports // call.allocations,
            "bandwidth": int(self.gigabits * 1e9 * self.load / call.traffic),
        }

    def carries(self, call: Call) -> tuple[int, str]:
        """Return how many such calls it carries, and what ends it."""
        limits = self.limits(call)
        least = min(limits, key=lambda name: limits[name])
        return limits[least], least


@dataclass(frozen=True, slots=True)
class Fleet:
    """As many nodes as it takes.

    Attributes:
        calls: concurrent ones, relayed or not.
        share: of them that a relay carries.
    """

    calls: int
    share: float = 1.0
    call: Call = field(default_factory=Call)
    node: Node = field(default_factory=Node)

    @property
    def relayed(self) -> int:
        """Calls that go by a relay."""
        return math.ceil(self.calls * self.share)

    @property
    def nodes(self) -> int:
        """How many it takes."""
        return math.ceil(self.relayed / self.node.carries(self.call)[0])

    @property
    def allocations(self) -> int:
        """Allocations that live at once."""
        return self.relayed * self.call.allocations

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield what it takes, by name."""
        yield "relayed packets/s", _round(self.relayed * self.call.relayed)
        yield "traffic in, and as much out", f"{_round(self.relayed * self.call.traffic)}b/s"
        yield "nodes", f"{self.nodes:,}"
        yield (
            "cores that packets keep busy",
            _round(self.relayed * self.call.relayed * self.node.plane.seconds),
        )
        yield "addresses, at least", f"{math.ceil(self.allocations / self.node.ports):,}"
        yield "memory for allocations", f"{_round(self.allocations * ALLOCATION.memory)}B"

    def setting_up(self, duration: float) -> tuple[float, float]:
        """Return new allocations a second where calls last `duration` seconds (Little's law), and
        the cores that they keep busy.
        """
        made = self.allocations / duration
        return made, made * ALLOCATION.seconds


def cost_of_an_hour(call: Call, node: Node, node_price: float, traffic_price: float) -> float:
    """Return what an hour of a relayed call costs.

    Args:
        node_price:    of a node for an hour.
        traffic_price: of 10^9 bytes out.
    """
    return node_price / node.carries(call)[0] + call.gigabytes_an_hour * traffic_price


_PREFIXES = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""From where on, divided by what, and called what."""


def _round(value: float) -> str:
    """Return three digits, and a prefix before the unit: "10.6 T", "1,100 "."""
    for least, size, prefix in _PREFIXES:
        if value >= least:
            return f"{float(f'{value / size:.3g}'):,g} {prefix}"
    return f"{float(f'{value:.3g}'):,g} "


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def call_table() -> str:
    """Return what a call is on the wire."""
    rows = []
    for ip, name in ((IPV4, "IPv4"), (IPV6, "IPv6")):
        for bitrate in BITRATES:
            call = Call(bitrate, ip=ip)
            rows.append(
                (
                    f"Opus at {bitrate} kb/s, {name}",
                    f"{call.at_client:g}",
                    f"{call.at_peer:g}",
                    f"{call.traffic / 1000:.1f} kb/s",
                    f"{call.gigabytes_an_hour * 1000:.1f} MB",
                )
            )
    head = ("", "bytes at the client", "bytes at the peer", "in, and as much out", "out in an hour")
    return _table(head, rows)


def in_words(call: Call, node: Node) -> str:
    """Return what else the sizes mean."""
    million, hundred = (Fleet(calls, call=call, node=node) for calls in SIZES[1:])
    made, cores = million.setting_up(180)
    alone = {name: math.ceil(hundred.relayed / limit) for name, limit in node.limits(call).items()}
    return (
        f"A million calls of three minutes are {made:,.0f} new allocations a second, which keep"
        f" {cores:.1f} cores of the whole\nfleet busy: setting up is not what costs. To restart"
        f" {million.nodes:,} nodes one after the other, with 10 minutes to drain each,\ntakes"
        f" {million.nodes / 6:,.0f} hours. A hundred million calls, by bandwidth alone, are"
        f" {alone['bandwidth']:,} nodes; by CPU, {alone['CPU']:,};\nby ports, {alone['ports']:,}."
    )


def node_table(call: Call, node: Node) -> str:
    """Return what a core and a node carry, by who forwards."""
    rows = []
    for plane in PLANES:
        one = replace(node, plane=plane)
        limits = one.limits(call)
        rows.append(
            (
                plane.name,
                f"{plane.seconds * 1e6:.3g} µs",
                f"{replace(one, cores=1).limits(call)['CPU']:,}",
                *(f"{limits[name]:,}" for name in ("CPU", "ports", "bandwidth")),
                one.carries(call)[1],
            )
        )
    head = ("", "CPU a packet", "a core", "by CPU", "by ports", "by bandwidth", "what ends it")
    return _table(head, rows)


def fleet_table(call: Call, node: Node, share: float = 1.0) -> str:
    """Return what each size takes, with one allocation a call and with two."""
    fleets = [
        Fleet(calls, share, replace(call, allocations=allocations), node)
        for calls in SIZES
        for allocations in (1, 2)
    ]
    ends = {1: "one end", 2: "both ends"}
    head = ("", *(f"{one.calls:,}, {ends[one.call.allocations]}" for one in fleets))
    columns = [dict(one.rows()) for one in fleets]
    return _table(head, [(name, *(column[name] for column in columns)) for name in columns[0]])


def tables(call: Call, node: Node, share: float = 1.0) -> dict[str, str]:
    """Return every table by its name."""
    return {
        "call": call_table(),
        "node": node_table(call, node),
        "fleet": fleet_table(call, node, share),
        "words": in_words(call, node),
    }


MARK = re.compile(r"(<!-- fleet: (\w+) -->\n)(?:[^\n]+\n)*")


def refreshed(document: str) -> str:
    """Return `document` with its tables made anew."""
    made = tables(Call(), Node())
    return MARK.sub(lambda found: f"{found[1]}{made[found[2]]}\n", document)


@click.command()
@click.option("--write", is_flag=True, help="Put the tables into docs/growing-a-fleet.md.")
@click.option("--bitrate", default=32.0, help="kb/s of a stream.")
@click.option("--share", default=1.0, help="Of the calls, that a relay carries.")
@click.option("--cores", default=8, help="Of a node.")
@click.option("--load", default=0.5, help="Share of a node that calls may take.")
@click.option("--addresses", default=1, help="Of a node.")
@click.option("--gigabits", default=10.0, help="A second, of a node.")
@click.option("--node-price", type=float, help="Of a node for an hour.")
@click.option("--traffic-price", type=float, help="Of 10^9 bytes out.")
def main(
    write: bool,
    bitrate: float,
    share: float,
    cores: int,
    load: float,
    addresses: int,
    gigabits: float,
    node_price: float | None,
    traffic_price: float | None,
) -> None:
    """Show how large a fleet has to be."""
    if write:
        TARGET.write_text(refreshed(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
        return
    call, node = Call(bitrate), Node(cores, load, addresses, gigabits=gigabits)
    click.echo("\n\n".join(tables(call, node, share).values()))
    if node_price is not None or traffic_price is not None:
        cost = cost_of_an_hour(call, node, node_price or 0, traffic_price or 0)
        click.echo(f"\nan hour of a relayed call: {cost:.6g}")


if __name__ == "__main__":
    main()
