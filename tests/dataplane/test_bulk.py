"""Datagrams in batches: nothing is lost, mixed up, or counted that did not leave."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest

from natkit.dataplane import bulk, ring
from natkit.dataplane.departures import (
    Counted,
    Departure,
    Departures,
    Failure,
    MessageDepartures,
    SingleDepartures,
)
from natkit.dataplane.ring import Ring, open_ring
from natkit.dataplane.routes import Route, address_of
from natkit.dataplane.sockaddr import from_packed, to_packed, to_socket
from natkit.turn.forwarding import ChannelBound, PermissionGranted
from natkit.wire import TransportAddress
from tests.dataplane.test_portable import CHANNEL, FAR, World, bound, frame, heard, hears_nothing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these calls")

MANY = 150
"""More than there are slots, and no multiple of a batch."""


@pytest.fixture
async def world(way: str) -> Iterator[World]:
    world = World()
    world.allocate()
    world.bind()
    yield world
    world.close()


async def test_burst_to_the_peer_arrives_whole_and_in_order(world: World) -> None:
    sent = [bytes([number]) * number for number in range(MANY)]
    for data in sent:
        world.say(frame(data))
    assert [await heard(world.peer) for _ in sent] == sent
    counted = world.plane.counters(world.relayed)
    assert (counted.to_peers, counted.to_peers_bytes) == (MANY, sum(map(len, sent)))


async def test_burst_to_the_client_arrives_whole_and_in_order(world: World) -> None:
    sent = [bytes([number]) * number for number in range(MANY)]
    for data in sent:
        world.answer(data)
    assert [await heard(world.client) for _ in sent] == [frame(data) for data in sent]
    counted = world.plane.counters(world.relayed)
    assert (counted.from_peers, counted.from_peers_bytes) == (MANY, sum(map(len, sent)))


async def test_what_goes_up_between_them_keeps_its_place(world: World) -> None:
    world.say(frame(b"before"))
    world.say(b"\0\1a STUN message, say")
    world.say(frame(b"after"))
    assert [await heard(world.peer), await heard(world.peer)] == [b"before", b"after"]
    assert [data for data, _, _ in world.above.control] == [b"\0\1a STUN message, say"]


async def test_relayed_address_may_end_amid_a_full_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(relayed: TransportAddress, *_: object) -> None:
        world.above.unbound.append((relayed, b"", relayed))
        world.plane.remove_relay(relayed)

    monkeypatch.setattr(world.above, "peer_datagram", ends)
    stranger = bound()
    for _ in range(bulk.BATCH):
        stranger.sendto(b"no channel for this", to_socket(world.relayed))
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    assert await hears_nothing(world.client)
    assert world.above.unbound
    assert complaints == []
    stranger.close()


async def test_what_goes_wrong_above_costs_no_later_packet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a bug above")

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    monkeypatch.setattr(world.above, "client_datagram", breaks)
    for _ in range(3):  # more than there are slots, in all
        for _ in range(MANY // 2):
            world.say(b"\0\1a STUN message, say")
        world.say(frame(b"behind them"))
        world.answer(b"back")
        assert await heard(world.client) == frame(b"back")
    assert complaints


async def test_largest_datagrams_pass_both_ways(world: World) -> None:
    big = bytes(range(256)) * 255
    world.say(frame(big))
    assert await heard(world.peer) == big
    world.answer(big)
    assert await heard(world.client) == frame(big)


async def test_short_datagram_is_not_read_on_into_an_earlier_one(world: World) -> None:
    world.say(frame(b"hello"))
    assert await heard(world.peer) == b"hello"
    for size in range(4):
        world.say(frame(b"hello")[:size])
    assert await hears_nothing(world.peer)


async def test_what_the_system_refuses_to_send_is_counted_as_dropped(world: World) -> None:
    nowhere = TransportAddress("255.255.255.255", 9)  # needs SO_BROADCAST
    world.plane.apply(PermissionGranted(world.relayed, nowhere.ip, FAR))
    world.plane.apply(ChannelBound(world.relayed, CHANNEL + 1, nowhere, world.path, FAR))
    lost = bytearray(frame(b"lost"))
    lost[1] += 1
    for data in (frame(b"one"), bytes(lost), frame(b"two")):
        world.say(data)
    assert [await heard(world.peer), await heard(world.peer)] == [b"one", b"two"]
    counted = world.plane.counters(world.relayed)
    assert (counted.to_peers, counted.to_peers_bytes, counted.dropped) == (2, 6, 1)
    assert world.above.errors == [world.relayed]


async def test_client_that_cannot_be_reached_is_counted_as_dropped(world: World) -> None:
    path = world.path._replace(client=TransportAddress("255.255.255.255", 9))
    world.allocate(path)
    world.bind(path)
    world.answer(b"anybody?")
    assert await hears_nothing(world.client)
    counted = world.plane.counters(world.relayed)
    assert (counted.from_peers, counted.from_peers_bytes, counted.dropped) == (0, 0, 1)


@pytest.fixture(params=[Ring, MessageDepartures, lambda _: SingleDepartures()])
def departures(request: pytest.FixtureRequest) -> Iterator[Departures]:
    try:
        made: Departures = request.param(4)
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    yield made
    made.close()
    made.close()


class Sockets:
    """Two sockets that send, one that receives, and data at a place that stays."""

    def __init__(self) -> None:
        self.to, self.senders = bound(), [bound(), bound()]
        self.data = bytearray(b"abcdefgh")
        name = to_packed(self.to.getsockname())
        self.routes = [Route(sender.fileno(), name) for sender in self.senders]

    def received(self) -> list[tuple[bytes, int]]:
        found = []
        try:
            while True:
                data, source = self.to.recvfrom(100)
                found.append((data, source[1]))
        except BlockingIOError:
            return found

    def close(self) -> None:
        for sock in (self.to, *self.senders):
            sock.close()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.close()


def test_each_leaves_through_its_own_socket(departures: Departures, sockets: Sockets) -> None:
    ports = [sender.getsockname()[1] for sender in sockets.senders]
    here = address_of(sockets.data)
    for _ in range(5):  # round the ring, and over its end
        waiting = [
            (sockets.routes[sender], here + place, 2, Counted())
            for place, sender in ((0, 0), (1, 1), (2, 1))
        ]
        assert departures.send(waiting) == []
        assert sockets.received() == [(b"ab", ports[0]), (b"bc", ports[1]), (b"cd", ports[1])]


def test_failures_are_told_apart(departures: Departures, sockets: Sockets) -> None:
    here, whose = address_of(sockets.data), [Counted() for _ in range(4)]
    closed = Route(-1, to_packed(sockets.to.getsockname()))
    for _ in range(3):
        routes = [closed, sockets.routes[0], closed, sockets.routes[0]]
        waiting = [(route, here + at, 1, whose[at]) for at, route in enumerate(routes)]
        assert departures.send(waiting) == [
            Failure(whose[0], here, 1, errno.EBADF),
            Failure(whose[2], here + 2, 1, errno.EBADF),
        ]
        assert [data for data, _ in sockets.received()] == [b"b", b"d"]


def test_ring_that_is_forbidden_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "_SETUP", 1 << 20)  # no such call
    assert open_ring(4) is None


def test_ring_that_sends_nothing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "_SEND", 0)  # an operation that does nothing
    assert open_ring(4) is None


def test_ring_is_used_where_a_busy_machine_delivers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        Ring(4).close()
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")

    def late(_: Ring, waiting: Sequence[Departure]) -> list[Failure]:
        sock = socket.socket(fileno=os.dup(waiting[0][0].descriptor))

        def deliver() -> None:
            sock.sendto(b"ring", sock.getsockname())
            sock.close()

        threading.Timer(0.02, deliver).start()
        return []

    monkeypatch.setattr(Ring, "send", late)
    made = open_ring(4)
    assert made is not None
    made.close()


def test_ring_that_takes_nothing_loses_what_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, sockets: Sockets
) -> None:
    made = open_ring(4)
    if made is None:
        pytest.skip("io_uring is forbidden here")
    here, whose = address_of(sockets.data), Counted()
    with monkeypatch.context() as forbidden:
        forbidden.setattr(ring, "_ENTER", 1 << 20)
        waiting = [(sockets.routes[0], here, 3, whose)]
        assert made.send(waiting) == [Failure(whose, here, 3, errno.EAGAIN)]
    assert made.send([(sockets.routes[0], here + 1, 3, whose)]) == []
    assert [data for data, _ in sockets.received()] == [b"bcd"]
    made.close()


@pytest.mark.parametrize("waiting", [0, 3, MANY])
async def test_relayed_address_that_ends_frees_its_port_at_once(world: World, waiting: int) -> None:
    for _ in range(waiting):
        world.answer(b"too late")
    world.plane.remove_relay(world.relayed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.bind(world.relayed)
    assert await hears_nothing(world.client)


def test_system_without_the_calls_has_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bulk.can_bulk()
    monkeypatch.setattr(bulk, "_recvmmsg", None)
    assert not bulk.can_bulk()


@pytest.mark.parametrize("address", [("192.0.2.1", 4711), ("2001:db8::1", 4711, 0, 3)])
def test_packed_address_is_the_one_that_was_packed(address: tuple[object, ...]) -> None:
    assert from_packed(to_packed(address)) == address
