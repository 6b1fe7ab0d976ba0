"""What the kernel forwards is what the portable plane forwards, or comes up to it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from natkit.dataplane.kernel.places import NEIGHBOUR_CHECK
from natkit.wire import TransportAddress
from tests.dataplane.kernel.frames import SENDERS_FLOW, Frame, odd
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.relaying import (
    CHANNEL,
    END,
    LAPSED,
    RELAYED,
    UNBOUND,
    Carrier,
    channel_data,
    relaying,
)

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

SIDES = pytest.mark.parametrize("side", [V4, V6], ids=["IPv4", "IPv6"])
WAYS = pytest.mark.parametrize("up", [True, False], ids=["to the peer", "to the client"])
MTU = 1500
FRAMES = 3000


@pytest.fixture(scope="module", params=["generic", "native"])
def world(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground() as made:
        if request.param == "native":
            made.go_native()
        yield made


def headers(side: Side) -> int:
    return 48 if side.ipv6 else 28


def random_frames(carrier: Carrier, side: Side, *, up: bool, seed: int) -> list[Frame]:
    """Return frames of which a third is right, a third odd, and a third odd twice."""
    random, frames = Random(seed), []
    for _ in range(FRAMES):
        channel = random.choice((CHANNEL, CHANNEL, CHANNEL, LAPSED, UNBOUND))
        size = random.choice((0, 1, 2, 3, 4, 5, 160, 172, 1200, random.randrange(1440)))
        payload = random.randbytes(size)
        frame = carrier.frame(side, channel_data(payload, channel) if up else payload, up=up)
        for _ in range(random.randrange(3)):
            frame = odd(frame, random)
        frames.append(frame)
    return frames


@SIDES
@WAYS
@pytest.mark.parametrize("seed", range(4))
async def test_odd_and_hostile_packets_come_out_as_of_the_portable_plane(
    world: Ground, side: Side, up: bool, seed: int
) -> None:
    results = []
    for kernel in (False, True):
        with relaying(world, kernel=kernel) as carrier:
            frames = random_frames(carrier, side, up=up, seed=seed)
            got, seen = await carrier.carry(side, frames, up=up)
            results.append((got, carrier.heard.lot))
            assert SENDERS_FLOW not in {one.flow for one in seen}
    assert got.total() > FRAMES / 10
    assert all(one.header_right for one in seen)
    assert sum(one.life != 64 for one in seen) > FRAMES / 20  # the kernel's: the TTL is not ours
    # The program's have a flow label of the relay's own: RFC 8656 §13.
    (flow,) = {one.flow for one in seen if one.life != 64}
    assert (flow != 0) == side.ipv6
    (portable, portable_lot), (fast, fast_lot) = results
    assert (portable - fast, fast - portable) == (Counter(), Counter())
    assert portable_lot == fast_lot


async def received(sink: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        while True:
            try:
                return sink.recv(4000)
            except BlockingIOError:
                await asyncio.sleep(0)


@SIDES
@WAYS
async def test_every_size_arrives_whole_with_a_right_checksum(
    world: Ground, side: Side, up: bool
) -> None:
    with relaying(world, kernel=True) as carrier:
        began = time.monotonic()
        await carrier.carry(side, [carrier.frame(side, channel_data(b"one"), up=up)], up=up)
        payloads = [Random(size).randbytes(size) for size in range(1, MTU - headers(side) - 3)]
        frames = [
            replace(
                carrier.frame(side, channel_data(data) if up else data, up=up), life=9, tos=0xB9
            )
            for data in payloads
        ]
        got, seen = await carrier.carry(side, frames, up=up)
        sent = payloads if up else [channel_data(data) for data in payloads]
        source = (side.relayed, RELAYED) if up else (side.server, 3478)
        assert got == Counter((data, source, b"\xb9") for data in sent)
        fast = [one for one in seen if one.life == 8]
        gone_up = {one.payload for one in seen if one.life == 64 and not one.payload.endswith(END)}
        assert len(gone_up) <= (time.monotonic() - began) // NEIGHBOUR_CHECK
        assert {one.payload for one in fast} == set(sent) - gone_up  # the kernel's
        assert {(one.state, one.header_right, one.tos) for one in fast} == {("right", True, 0xB9)}
        assert {one.may_fragment for one in fast} == {not side.ipv6}


@SIDES
@WAYS
async def test_every_size_arrives_whole_where_the_sender_left_the_checksum_to_hardware(
    world: Ground, side: Side, up: bool
) -> None:
    with relaying(world, kernel=True) as carrier:
        sender, sink = carrier.sinks[side, not up], carrier.sinks[side, up]
        target = (side.server, 3478) if up else (side.relayed, RELAYED)
        largest = MTU - headers(side) - 4
        assert await received(sink) == b""  # the relay's, to make acquaintance
        began = time.monotonic()
        for size in range(largest + 1):
            data = Random(size).randbytes(size)
            sender.sendto(channel_data(data) if up else data, target)
            expected = data if up else channel_data(data)
            assert await received(sink) == expected
        counters = carrier.plane.counters(TransportAddress(side.relayed, RELAYED))
        assert (counters.to_peers if up else counters.from_peers) == largest + 1
        # In a driver it cannot be told what hardware is to do: these go the slow way, and arrive.
        if world.native:
            assert counters.in_kernel == 0
        else:
            gone_up = largest + 1 - counters.in_kernel
            assert 1 <= gone_up <= 1 + (time.monotonic() - began) // NEIGHBOUR_CHECK


@SIDES
async def test_datagram_that_grows_past_the_link_goes_in_fragments(
    world: Ground, side: Side
) -> None:
    with relaying(world, kernel=True) as carrier:
        sink = carrier.sinks[side, False]
        largest = MTU - headers(side)
        assert await received(sink) == b""  # as above
        for size in (largest, largest - 3, largest + 500):
            carrier.sinks[side, True].sendto(bytes(size), (side.relayed, RELAYED))
            assert await received(sink) == channel_data(bytes(size))
