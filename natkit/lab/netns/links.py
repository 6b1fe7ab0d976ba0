"""Loss and rate of the links, as nftables and `tc` text. Pure.

Loss happens at the switch, in a bridge: a packet dropped in its sender's own namespace would make
`sendto` fail, which no network does. Who finds whose hardware address (ARP, neighbour discovery)
is no part of the model, so it is never lost.

There is no delay here. Not every kernel has `netem`, and delay, jitter, reordering and duplication
are the simulator's strength anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

from natkit.lab.netns.layout import Port
from natkit.lab.topology import Link

_PARTS = 1_000_000  # a loss is rounded to one packet in a million
_QUEUE = 200  # milliseconds of packets that a rate-limited link holds back before it drops
_BURST = 3200  # bytes: two full packets, or the kernel lets none through

_NEIGHBOURS = (
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }"
)


def loss_rules(ports: tuple[Port, ...]) -> str:
    """Return the switch's nftables rules; empty: no link loses anything."""
    rules = [rule for port in ports for rule in _loss(port)]
    if not rules:
        return ""
    head = [
        "table bridge links {",
        "    chain loss {",
        "        type filter hook forward priority 0;",
        "        ether type != { ip, ip6 } accept",
        f"        {_NEIGHBOURS} accept",
    ]
    return "\n".join([*head, *(f"        {rule}" for rule in rules), "    }", "}", ""])


def _loss(port: Port) -> Iterator[str]:
    if port.link is None or port.link.loss == 0:
        return
    chance = f"numgen random mod {_PARTS} < {round(port.link.loss * _PARTS)}"
    yield f'iifname "{port.switch}" {chance} drop'
    yield f'oifname "{port.switch}" {chance} drop'


def rate_batch(ports: tuple[Port, ...], *, node: str | None = None) -> str:
    """Return the `tc -batch` of `node`'s own interfaces, or the switch's where it is None."""
    lines = []
    for port in ports:
        if port.link is not None and port.link.rate is not None and node in (None, port.node):
            device = port.switch if node is None else port.interface
            shape = f"tbf rate {port.link.rate:.0f}bit burst {_burst(port.link.rate)}"
            lines.append(f"qdisc add dev {device} root {shape} latency {_QUEUE}ms\n")
    return "".join(lines)


def _burst(rate: float) -> int:
    """Return the bucket in bytes: what passes in 10 ms, the time between two ticks at HZ=100."""
    return max(_BURST, round(rate / 8 / 100))


def left_out(ports: tuple[Port, ...]) -> tuple[str, ...]:
    """Return a sentence for each wish of the links that this world does not fulfil."""
    links = [port.link for port in ports if port.link is not None]
    if any(_wants_delay(link) for link in links):
        return (
            "links have no latency, jitter, reordering or duplication here, only loss and rate",
        )
    return ()


def _wants_delay(link: Link) -> bool:
    return any((link.latency, link.jitter, link.reorder, link.duplicate))
