"""ICMP errors on the way to a host: the same in real namespaces as in the simulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from natkit.lab import netns, sim
from natkit.lab.scenarios import scenario
from natkit.lab.topology import World
from natkit.network import Family, IcmpError
from natkit.wire import TransportAddress

on_both_backends = pytest.mark.parametrize(
    "run",
    [
        pytest.param(sim.run, id="sim"),
        pytest.param(
            netns.run, id="netns", marks=[pytest.mark.root, pytest.mark.needs("root", "nft", "ip")]
        ),
    ],
)
Run = Callable[..., Any]


class Errors(list[IcmpError]):
    """Keeps the ICMP errors of an endpoint."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        raise AssertionError(f"{source} answered {data!r}")

    def error_received(self, error: IcmpError) -> None:
        self.append(error)


def trace(target: TransportAddress, hops: int) -> Callable[[World], Awaitable[list[IcmpError]]]:
    """Return a main that sends to `target` with TTL 1 .. `hops` from alice."""

    async def main(world: World) -> list[IcmpError]:
        network, heard = world.network("alice"), Errors()
        family = Family.IPV6 if target.is_ipv6 else Family.IPV4
        endpoint = await network.open_datagram(heard, family=family)
        for ttl in range(1, hops + 1):
            endpoint.send(b"anyone?", target, ttl=ttl)
            for _ in range(50):
                await network.sleep(0.01)
                if len(heard) == ttl:
                    break
        endpoint.close()
        return heard

    return main


@on_both_backends
def test_ttl_limited_datagrams_show_both_nats_and_the_closed_port(run: Run) -> None:
    bob = TransportAddress("203.0.113.50", 9999)
    assert run(scenario("double").topology, trace(bob, 3)) == [
        IcmpError(11, 0, bob, "10.0.1.1"),
        IcmpError(11, 0, bob, "100.64.0.1"),
        IcmpError(3, 3, bob, "203.0.113.50"),
    ]


@on_both_backends
def test_hop_limited_datagrams_show_the_ipv6_router_and_the_closed_port(run: Run) -> None:
    bob = TransportAddress("2001:db8::50", 9999)
    assert run(scenario("dual-stack").topology, trace(bob, 2)) == [
        IcmpError(3, 0, bob, "2001:db8:1::1"),
        IcmpError(1, 4, bob, "2001:db8::50"),
    ]
