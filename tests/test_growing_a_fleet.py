"""docs/growing-a-fleet.md: its arithmetic, where its numbers are from, and its firewall rules."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.benchmarks._relay_cells import Cell, Load, Run
from scripts.benchmarks._relay_contenders import DIRECT, KERNEL, UVLOOP
from scripts.benchmarks._relay_matrix import USUAL
from scripts.fleet import (
    ALLOCATION,
    IPV6,
    SPEECH,
    TARGET,
    Call,
    Fleet,
    Node,
    cost_of_an_hour,
    main,
    planes,
    refreshed,
)
from tests.dataplane.kernel.ground import V4, Ground, ground
from tests.turnkit import Peer, RawClient
from tests.turnserver import TurnUnderTest, turn_server

TEXT = TARGET.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_script():
    assert refreshed(TEXT) == TEXT, "docs/growing-a-fleet.md is stale: run scripts/gen-docs"
    assert TEXT.count("<!-- fleet: ") == 4


@pytest.mark.parametrize(("document", "row"), ALLOCATION.sources, ids=str)
def test_a_measured_number_stands_where_it_was_measured(document: str, row: str):
    assert row in (TARGET.parent / document).read_text(encoding="utf-8")


def test_what_is_reckoned_with_is_what_stands_there():
    memory, seconds = (row for _, row in ALLOCATION.sources)
    assert f"| {ALLOCATION.memory / 1000:g} kB |" in memory
    assert f"| {ALLOCATION.seconds * 1e6:g} µs |" in seconds


def cell(name: str, server_us: float | None, sender_us: float, load: Load = SPEECH) -> Cell:
    one = Cell(name, load, *[None] * (len(Cell._fields) - 2))
    return one._replace(server_us=server_us, sender_us=sender_us)


def test_packets_take_what_the_relay_benchmark_measured_of_speech():
    cells = [
        *(cell(UVLOOP, took, 3.0) for took in (9.0, 8.0, 10.0)),
        cell(UVLOOP, 99.0, 3.0, SPEECH._replace(calls=1)),
        cell(KERNEL, 0.1, 4.5),
        cell(DIRECT, None, 2.5, USUAL),
    ]
    found = {plane.name: plane.seconds for plane in planes({"full": Run(cells=cells)})}
    assert found == pytest.approx({UVLOOP: 9e-6, KERNEL: 2.1e-6})
    without_a_floor = planes({"full": Run(cells=cells[:-1])})
    assert [plane.name for plane in without_a_floor] == [UVLOOP]


@pytest.mark.parametrize("runs", [{}, {"full": Run()}])
def test_without_a_measurement_there_is_no_table(runs: dict[str, Run]):
    with pytest.raises(LookupError, match="scripts/bench relay measures it"):
        planes(runs)


def test_a_packet_has_its_headers_and_the_clients_side_four_bytes_more():
    call = Call(bitrate=32)  # 80 bytes of Opus in 20 ms
    assert (call.at_peer, call.at_client) == (80 + 12 + 10 + 8 + 20, 134)
    assert Call(bitrate=32, ip=IPV6).at_peer == 150
    assert call.traffic == 50 * (134 + 130) * 8


def test_two_allocations_relay_every_packet_twice():
    one, two = Call(), Call(allocations=2)
    assert (two.relayed, two.traffic) == (2 * one.relayed, 2 * one.traffic)
    assert two.gigabytes_an_hour == 2 * one.gigabytes_an_hour


@pytest.mark.parametrize(
    ("node", "ends"),
    [
        (Node(cores=8), "CPU"),
        (Node(cores=8, ports=1000), "ports"),
        (Node(cores=8, gigabits=0.1), "bandwidth"),
    ],
)
def test_a_node_carries_what_the_scarcest_of_its_parts_does(node: Node, ends: str):
    calls, what = node.carries(Call())
    assert what == ends
    assert calls == min(node.limits(Call()).values())


def test_a_second_address_has_as_many_ports_again():
    few = Node(ports=100)
    assert few.limits(Call())["ports"] == 100
    assert replace(few, addresses=2).limits(Call())["ports"] == 200
    assert replace(few, addresses=2).limits(Call(allocations=2))["ports"] == 100


def test_a_fleet_has_room_for_all_its_calls_and_no_node_too_many():
    fleet = Fleet(10**6)
    carried, _ = fleet.node.carries(fleet.call)
    assert (fleet.nodes - 1) * carried < 10**6 <= fleet.nodes * carried
    assert Fleet(10**6, share=0.1).nodes == Fleet(10**5).nodes


def test_an_hour_costs_a_share_of_the_node_and_its_traffic():
    node, call = Node(ports=100), Call(bitrate=32)
    assert cost_of_an_hour(call, node, 5.0, 0) == pytest.approx(0.05)
    assert cost_of_an_hour(call, node, 0, 2.0) == pytest.approx(2 * 50 * 264 * 3600 / 1e9)


def test_readers_have_tables_of_their_own():
    ended = CliRunner().invoke(main, ["--bitrate", "64", "--cores", "2", "--node-price", "1"])
    assert ended.exit_code == 0
    assert f"| {Node(cores=2).limits(Call(64))['CPU']:,} |" in ended.stdout
    cost = cost_of_an_hour(Call(64), Node(cores=2), 1, 0)
    assert f"an hour of a relayed call: {cost:.6g}" in ended.stdout


def test_allocations_are_made_as_often_as_calls_end():
    made, cores = Fleet(10**6).setting_up(200)
    assert made == 5000
    assert cores == pytest.approx(5000 * ALLOCATION.seconds)


def rules(listening: int) -> str:
    """Return the firewall's rules that the page shows, for a server on another port."""
    [found] = re.findall(r"^ +table inet relay \{\n.*?^      \}\n", TEXT, re.M | re.S)
    assert "3478," in found
    return textwrap.dedent(found).replace("3478,", f"{listening},")


STATEFUL = """table inet firewall {
    chain input { type filter hook input priority 0; ct state new accept; }
}"""


def one_call(world: Ground, server: TurnUnderTest) -> None:
    """Relay a packet each way between two other hosts."""
    peer = world.peer.call(lambda: Peer(V4.peer))
    client = world.client.call(lambda: RawClient(server, ip=V4.server, source=V4.client))
    with peer, client:
        relayed = client.allocate()
        client.bind(0x4000, peer.address)
        client.send_on(0x4000, b"there")
        assert peer.receive() == (b"there", relayed)
        peer.send(b"back", relayed)
        assert client.receive().endswith(b"back")


@contextlib.contextmanager
def relaying(world: Ground, where: Path) -> Iterator[TurnUnderTest]:
    running = turn_server(
        where, ips=[V4.server], relay=[V4.relayed], allow=["10.0.0.0/8"], program="natkit"
    )
    server = world.relay.call(running.__enter__)
    try:
        yield server
    finally:
        world.relay.call(lambda: running.__exit__(None, None, None))


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
@pytest.mark.parametrize(("loaded", "entries"), [(False, 2), (True, 0)])
def test_calls_make_no_entry_of_a_connection_where_the_rules_are_loaded(
    tmp_path: Path, loaded: bool, entries: int
):
    with ground() as world, relaying(world, tmp_path) as server:
        world.relay.command(["nft", "-f", "-"], STATEFUL)
        if loaded:
            world.relay.command(["nft", "-f", "-"], rules(server.port))
        one_call(world, server)
        count = world.relay.call(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text)
        assert int(count) == entries
