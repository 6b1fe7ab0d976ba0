"""Loss and rate on links."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from natkit.lab import netns
from natkit.lab.netns import layout, links
from natkit.lab.scenarios import SCENARIOS, Scenario, behind
from natkit.lab.topology import Link, Nat, Topology, World
from natkit.wire import TransportAddress
from tests.lab.observe import FIRST, PATIENCE, Socket, closing, mapped, open_socket

real = pytest.mark.root
SERVER = TransportAddress(FIRST, 3478)
PACKETS = 2000
HOME, OPEN = SCENARIOS["home"], SCENARIOS["open"]


@real
@pytest.mark.needs("root", "nft", "ip")
@pytest.mark.parametrize("scenario", [HOME, OPEN], ids=["behind a router", "on the internet"])
@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_each_direction_loses_its_share(scenario: Scenario, loss: float) -> None:
    out, back = netns.run(scenario.with_loss(loss).topology, _arrived)
    margin = 5 * (PACKETS * loss * (1 - loss)) ** 0.5  # five standard deviations
    for arrived in (out, back):
        assert abs(arrived - PACKETS * (1 - loss)) < margin


async def _arrived(world: World) -> tuple[int, int]:
    """Return how many of `PACKETS` came out, and how many came back in."""
    server = await open_socket(world, "stun", SERVER)
    alice = await open_socket(world, "alice")
    with closing(server, alice):
        outside = None
        while outside is None:
            outside = await mapped(alice, server)
        out = await _count(alice, SERVER, server)
        return out, await _count(server, outside, alice)


async def _count(sender: Socket, target: TransportAddress, receiver: Socket) -> int:
    for index in range(PACKETS):
        sender.send("x", target)
        if index % 50 == 0:  # not more at once than a receive buffer holds
            await asyncio.sleep(0)
    arrived = 0
    while await receiver.next() is not None:
        arrived += 1
    return arrived


@real
@pytest.mark.needs("root", "nft", "ip", "tc")
def test_a_rate_holds_packets_back() -> None:
    async def main(world: World) -> float:
        server = await open_socket(world, "stun", SERVER)
        alice = await open_socket(world, "alice")
        with closing(server, alice):
            await mapped(alice, server)
            started = time.monotonic()
            for _ in range(20):
                alice.send("x" * 1000, SERVER)
            for _ in range(20):
                assert await server.next(PATIENCE) is not None
            return time.monotonic() - started

    seconds = netns.run(behind(Nat(), link=Link(rate=1_000_000)), main)
    assert 0.1 < seconds < 0.3  # 20 kB at 1 Mbit/s are 0.16 s, less what the bucket lets through


def test_a_link_without_loss_or_rate_needs_no_rules() -> None:
    ports = layout.ports(HOME.topology)
    assert (links.loss_rules(ports), links.rate_batch(ports)) == ("", "")


def test_loss_is_rounded_to_a_millionth_and_hits_both_directions() -> None:
    rules = links.loss_rules(layout.ports(HOME.with_loss(0.0123456).topology))
    assert 'iifname "p6" numgen random mod 1000000 < 12346 drop' in rules
    assert 'oifname "p6" numgen random mod 1000000 < 12346 drop' in rules


def test_delay_alone_is_noted_as_left_out() -> None:
    still = tuple(replace(host, link=Link(latency=0)) for host in OPEN.topology.hosts)
    topology = Topology(OPEN.topology.segments, still)
    assert links.left_out(layout.ports(topology)) == ()
    (note,) = links.left_out(layout.ports(OPEN.topology))
    assert "latency" in note
