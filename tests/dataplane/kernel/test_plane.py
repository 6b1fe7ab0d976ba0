"""What the TURN machine says holds in the kernel: told by which way a packet then goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMoved,
    ChannelBound,
    ChannelLapsed,
    CloseReason,
    Path,
    PermissionGranted,
    PermissionLapsed,
    Transport,
)
from natkit.wire import TransportAddress
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.relaying import (
    CHANNEL,
    CLIENT,
    PEER,
    RELAYED,
    SERVER,
    Carrier,
    relaying,
)

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

SIDES = pytest.mark.parametrize("side", [V4, V6], ids=["IPv4", "IPv6"])
NOTHING = ("not at all", "not at all")


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@pytest.fixture
async def carrier(world: Ground):
    with relaying(world, kernel=True) as made:
        yield made


def relayed(side: Side) -> TransportAddress:
    return TransportAddress(side.relayed, RELAYED)


def path(side: Side, port: int = CLIENT) -> Path:
    client, server = TransportAddress(side.client, port), TransportAddress(side.server, SERVER)
    return Path(client, server, Transport.UDP)


def peer(side: Side) -> TransportAddress:
    return TransportAddress(side.peer, PEER)


def now() -> float:
    return asyncio.get_running_loop().time()


def bound(side: Side, until: float) -> ChannelBound:
    return ChannelBound(relayed(side), CHANNEL, peer(side), path(side), until)


async def both(carrier: Carrier, side: Side) -> tuple[str, str]:
    """Return how a packet goes to the peer, and to the client."""
    return await carrier.way(side, up=True), await carrier.way(side, up=False)


@SIDES
async def test_bound_channel_is_forwarded_by_the_kernel_both_ways(
    carrier: Carrier, side: Side
) -> None:
    assert await both(carrier, side) == ("fast", "fast")
    counters = carrier.plane.counters(relayed(side))
    # Of two packets each way the first one went up, to have the neighbour asked for.
    assert (counters.to_peers, counters.from_peers, counters.in_kernel) == (2, 2, 2)
    assert (counters.to_peers_bytes, counters.from_peers_bytes) == (20, 20)
    assert now() - (carrier.plane.activity(relayed(side)) or 0) < 5


@SIDES
async def test_nothing_passes_a_permission_that_lapsed_until_it_is_granted_again(
    carrier: Carrier, side: Side
) -> None:
    carrier.plane.apply(PermissionLapsed(relayed(side), side.peer))
    assert await both(carrier, side) == NOTHING
    carrier.plane.apply(PermissionGranted(relayed(side), side.peer, now() + 300))
    assert await both(carrier, side) == ("fast", "fast")


@SIDES
async def test_nothing_passes_a_permission_after_its_end_though_nobody_said_so(
    carrier: Carrier, side: Side
) -> None:
    carrier.plane.apply(PermissionGranted(relayed(side), side.peer, now() + 0.3))
    assert await both(carrier, side) == ("fast", "fast")
    await asyncio.sleep(0.31)
    assert await both(carrier, side) == NOTHING


@SIDES
async def test_channel_that_is_prolonged_outlives_its_first_end(
    carrier: Carrier, side: Side
) -> None:
    carrier.plane.apply(bound(side, now() + 0.3))
    carrier.plane.apply(bound(side, now() + 600))
    await asyncio.sleep(0.31)
    assert await both(carrier, side) == ("fast", "fast")


@SIDES
async def test_nothing_passes_a_channel_that_lapsed_and_what_it_carried_stays_counted(
    carrier: Carrier, side: Side
) -> None:
    await both(carrier, side)
    carrier.plane.apply(ChannelLapsed(relayed(side), CHANNEL, peer(side), path(side)))
    assert await carrier.way(side, up=True) == "not at all"
    assert carrier.plane.counters(relayed(side)).to_peers == 2
    assert await carrier.way(side, up=False) == "not at all"
    assert carrier.heard.lot.total() == 1  # the peer is permitted: a Data indication's


@SIDES
async def test_nothing_passes_a_closed_allocation(carrier: Carrier, side: Side) -> None:
    await both(carrier, side)
    carrier.plane.apply(AllocationClosed(path(side), relayed(side), "user", CloseReason.DELETED))
    assert await both(carrier, side) == NOTHING
    assert carrier.plane.counters(relayed(side)).to_peers == 2
    carrier.plane.remove_relay(relayed(side))
    assert await both(carrier, side) == NOTHING


@SIDES
async def test_client_that_moved_is_forwarded_from_where_it_is_alone(
    carrier: Carrier, side: Side
) -> None:
    carrier.plane.apply(AllocationMoved(relayed(side), path(side), path(side, CLIENT + 1)))
    assert await carrier.way(side, up=True) == "not at all"
    assert await carrier.way(side, up=True, client=CLIENT + 1) == "fast"
    assert await carrier.way(side, up=False) == "fast"


@SIDES
async def test_allocation_with_a_limit_takes_the_slow_way(world: Ground, side: Side) -> None:
    with relaying(world, kernel=True, max_rate=1_000_000) as carrier:
        assert await both(carrier, side) == ("slow", "slow")


@SIDES
async def test_table_without_room_leaves_packets_to_the_slow_way(world: Ground, side: Side) -> None:
    with relaying(world, kernel=True, capacity=1) as carrier:
        assert await both(carrier, side) == ("slow", "slow")


@SIDES
async def test_closed_plane_has_taken_its_program_off(
    world: Ground, carrier: Carrier, side: Side
) -> None:
    carrier.plane.close()
    assert "xdp" not in world.relay.command(["ip", "link", "show", "client"])
    assert await both(carrier, side) == NOTHING
