"""The portable data plane on real loopback sockets, told by facts as it would be by the machine."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from natkit.dataplane.neighbours import Neighbours
from natkit.dataplane.portable import CAN_SET_DF, PortablePlane
from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.dataplane.tables import Relay
from natkit.machine import Instant
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    AllocationMoved,
    ChannelBound,
    ChannelLapsed,
    CloseReason,
    Path,
    PermissionGranted,
    PermissionLapsed,
    Relaying,
    Transport,
)
from natkit.wire import ChannelData, TransportAddress

pytestmark = pytest.mark.usefixtures("way")

CHANNEL = 0x4001
PUBLIC = "192.0.2.7"
"""What relayed addresses behind a 1:1 NAT are known by; this machine does not have it."""

FAR = 1e9
"""An instant that no test lives to see."""


def bound(ip: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    sock.setblocking(False)
    return sock


async def heard(sock: socket.socket) -> bytes:
    async with asyncio.timeout(2):
        return await asyncio.get_running_loop().sock_recv(sock, 65536)


async def hears_nothing(sock: socket.socket) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    try:
        sock.recv(65536)
    except BlockingIOError:
        return True
    return False


@dataclass
class Above:
    """What the plane hands up."""

    control: list[tuple[bytes, TransportAddress, TransportAddress]] = field(default_factory=list)
    unbound: list[tuple[TransportAddress, bytes, TransportAddress]] = field(default_factory=list)
    errors: list[TransportAddress] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def client_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        self.control.append((data, client, server))
        self.changed.set()

    def peer_datagram(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, now: Instant
    ) -> None:
        self.unbound.append((relayed, data, peer))
        self.changed.set()

    def relay_error(self, relayed: TransportAddress, sock: socket.socket, now: Instant) -> None:
        self.errors.append(relayed)
        self.changed.set()


class World:
    """A plane with one listener, one relayed address, one client and one peer.

    Args: peer_ip: where the peer and the relayed address are; "": at `ip`, as the client is.
    """

    def __init__(self, ip: str = "127.0.0.1", peer_ip: str = "") -> None:
        self.above = Above()
        self.client, self.peer = bound(ip), bound(peer_ip or ip)
        self.neighbours = [bound(ip), bound(ip)]
        first, last = sorted(sock.getsockname()[1] for sock in self.neighbours)
        relay_ports = range(first, last + 1, last - first)
        self.plane = PortablePlane(self.above, neighbours=Neighbours({ip: PUBLIC}, relay_ports))
        listener, relay = bound(ip), bound(peer_ip or ip)
        self.server = from_socket(listener.getsockname())
        self.relayed = from_socket(relay.getsockname())
        self.path = Path(self.client_address, self.server, Transport.UDP)
        self.plane.add_listener(self.server, listener)
        self.plane.add_relay(self.relayed, relay)

    @property
    def client_address(self) -> TransportAddress:
        return from_socket(self.client.getsockname())

    @property
    def peer_address(self) -> TransportAddress:
        return from_socket(self.peer.getsockname())

    def allocate(self, path: Path | None = None) -> None:
        self.plane.apply(
            AllocationMade(path or self.path, self.relayed, Relaying.UDP, "alice", 600)
        )

    def permit(self, until: Instant = FAR) -> None:
        self.plane.apply(PermissionGranted(self.relayed, self.peer_address.ip, until))

    def bind(self, path: Path | None = None, until: Instant = FAR) -> None:
        self.permit()
        self.plane.apply(
            ChannelBound(self.relayed, CHANNEL, self.peer_address, path or self.path, until)
        )

    def say(self, data: bytes) -> None:
        self.client.sendto(data, to_socket(self.server))

    def answer(self, data: bytes) -> None:
        self.peer.sendto(data, to_socket(self.relayed))

    def close(self) -> None:
        self.plane.close()
        for sock in (self.client, self.peer, *self.neighbours):
            sock.close()


@pytest.fixture
async def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def frame(data: bytes, *, padded: bool = False) -> bytes:
    return ChannelData(CHANNEL, data).encode(padded=padded)


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.needs("ipv6"))])
async def test_a_channel_carries_both_ways(ip: str):
    world = World(ip)
    world.allocate()
    world.bind()
    world.say(frame(b"there"))
    assert await heard(world.peer) == b"there"
    world.answer(b"and back")
    assert await heard(world.client) == frame(b"and back")
    world.close()


@pytest.mark.parametrize("data", [b"", b"x", b"four", bytes(1400)])
async def test_payloads_arrive_unpadded_on_udp(world: World, data: bytes):
    world.allocate()
    world.bind()
    world.say(frame(data, padded=True))
    assert await heard(world.peer) == data
    world.answer(data)
    assert await heard(world.client) == frame(data)


async def test_counters_are_live_and_count_payloads(world: World):
    world.allocate()
    world.bind()
    assert world.plane.activity(world.relayed) is None
    world.say(frame(b"12345"))
    await heard(world.peer)
    world.answer(b"123")
    await heard(world.client)
    counted = world.plane.counters(world.relayed)
    assert (counted.to_peers, counted.to_peers_bytes) == (1, 5)
    assert (counted.from_peers, counted.from_peers_bytes) == (1, 3)
    assert world.plane.activity(world.relayed) is not None


async def test_what_is_not_channel_data_goes_up(world: World):
    world.say(b"\x00\x01\x00\x00rest")
    await world.above.changed.wait()
    assert world.above.control == [(b"\x00\x01\x00\x00rest", world.client_address, world.server)]


async def test_a_permitted_peer_without_a_channel_goes_up(world: World):
    world.allocate()
    world.permit()
    world.answer(b"hello")
    await world.above.changed.wait()
    assert world.above.unbound == [(world.relayed, b"hello", world.peer_address)]


async def test_a_stranger_is_dropped_before_anybody_looks(world: World):
    world.allocate()
    world.answer(b"hello")
    assert await hears_nothing(world.client)
    assert world.above.unbound == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x40",
        b"\x40\x01\x00",
        b"\x40\x01\x00\x05abcd",
        b"\x40\x02\x00\x00",
        b"\x50\x01\x00\x00",
    ],
    ids=["one byte", "half a header", "longer than it is", "unbound", "reserved number"],
)
async def test_bad_channel_data_goes_nowhere(world: World, data: bytes):
    world.allocate()
    world.bind()
    world.say(data)
    assert await hears_nothing(world.peer)


async def test_another_client_cannot_use_the_channel(world: World):
    world.allocate()
    world.bind()
    with bound() as other:
        other.sendto(frame(b"mine?"), to_socket(world.server))
        assert await hears_nothing(world.peer)


async def test_a_channel_carries_nothing_after_its_end(world: World):
    world.allocate()
    world.bind(until=asyncio.get_running_loop().time())
    world.say(frame(b"too late"))
    assert await hears_nothing(world.peer)


async def test_a_channel_carries_nothing_without_its_permission(world: World):
    world.allocate()
    world.bind()
    world.permit(until=asyncio.get_running_loop().time())
    world.say(frame(b"too late"))
    world.answer(b"too late")
    assert await hears_nothing(world.peer)
    assert await hears_nothing(world.client)
    world.permit()
    world.say(frame(b"again"))
    assert await heard(world.peer) == b"again"


@pytest.mark.parametrize("lapsed", ["channel", "permission", "allocation"])
async def test_what_has_lapsed_carries_nothing(world: World, lapsed: str):
    world.allocate()
    world.bind()
    facts = {
        "channel": ChannelLapsed(world.relayed, CHANNEL, world.peer_address, world.path),
        "permission": PermissionLapsed(world.relayed, world.peer_address.ip),
        "allocation": AllocationClosed(world.path, world.relayed, "alice", CloseReason.EXPIRED),
    }
    world.plane.apply(facts[lapsed])
    world.say(frame(b"anybody?"))
    assert await hears_nothing(world.peer)


async def test_an_allocation_goes_on_from_another_address(world: World):
    world.allocate()
    world.bind()
    with bound() as elsewhere:
        moved = world.path._replace(client=from_socket(elsewhere.getsockname()))
        world.plane.apply(AllocationMoved(world.relayed, world.path, moved))
        elsewhere.sendto(frame(b"from there"), to_socket(world.server))
        assert await heard(world.peer) == b"from there"
        world.answer(b"to there")
        assert await heard(elsewhere) == frame(b"to there")
        world.say(frame(b"from the old one"))
        assert await hears_nothing(world.peer)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS, Transport.DTLS])
async def test_streams_get_padded_frames_and_dtls_does_not(world: World, transport: Transport):
    written: asyncio.Queue[bytes] = asyncio.Queue()

    def write(data: bytes) -> bool:
        written.put_nowait(data)
        return True

    path = world.path._replace(transport=transport)
    forward = world.plane.add_stream(path, write)
    world.allocate(path)
    world.bind(path)
    forward(frame(b"abc", padded=True), asyncio.get_running_loop().time())
    assert await heard(world.peer) == b"abc"
    world.answer(b"abc")
    assert await written.get() == frame(b"abc", padded=transport.is_stream)


async def test_what_a_full_stream_drops_is_counted(world: World):
    path = world.path._replace(transport=Transport.TCP)
    world.plane.add_stream(path, lambda _: False)
    world.allocate(path)
    world.bind(path)
    world.answer(b"abc")
    for _ in range(20):
        await asyncio.sleep(0)
    counted = world.plane.counters(world.relayed)
    assert (counted.dropped, counted.from_peers) == (1, 0)


async def test_beyond_the_rate_packets_fall(world: World):
    world.plane.max_rate = 1000
    world.allocate()
    world.bind()
    for _ in range(3):
        world.say(frame(bytes(400)))
    assert len(await heard(world.peer)) == len(await heard(world.peer)) == 400
    assert await hears_nothing(world.peer)
    assert world.plane.counters(world.relayed).dropped == 1


@pytest.mark.skipif(not CAN_SET_DF, reason="only Linux lets it be set")
@pytest.mark.parametrize("dont_fragment", [False, True])
async def test_df_is_set_for_the_one_packet_that_asks_for_it(world: World, dont_fragment: bool):
    world.allocate()
    world.permit()
    big = bytes(65000)  # loopback's MTU is 65536, so DF lets it pass
    now = asyncio.get_running_loop().time()
    world.plane.to_peer(
        world.relayed, world.peer_address, big, dont_fragment=dont_fragment, now=now
    )
    assert await heard(world.peer) == big


async def test_a_removed_relay_closes_its_socket(world: World):
    world.plane.remove_relay(world.relayed)
    world.plane.remove_relay(world.relayed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(to_socket(world.relayed))


async def test_a_removed_relay_leaves_nothing_to_the_collector(world: World):
    world.allocate()
    world.bind()
    gc.collect()
    gc.disable()
    try:
        before = relays_in_memory()
        world.plane.apply(AllocationClosed(world.path, world.relayed, "al", CloseReason.DELETED))
        world.plane.remove_relay(world.relayed)
        await asyncio.sleep(0)
        assert relays_in_memory() == before - 1
    finally:
        gc.enable()


def relays_in_memory() -> int:
    return sum(isinstance(thing, Relay) for thing in gc.get_objects())


@pytest.mark.parametrize("channel", [True, False])
async def test_neighbours_behind_a_1_to_1_nat_reach_each_other(world: World, channel: bool):
    relays = world.neighbours
    public = [TransportAddress(PUBLIC, relay.getsockname()[1]) for relay in relays]
    clients = [world.client, world.peer]
    for relayed, sock in zip(public, relays, strict=True):
        world.plane.add_relay(relayed, sock)
    for relayed, other, client in zip(public, reversed(public), clients, strict=True):
        path = world.path._replace(client=from_socket(client.getsockname()))
        world.plane.apply(AllocationMade(path, relayed, Relaying.UDP, "alice", 600))
        world.plane.apply(PermissionGranted(relayed, PUBLIC, FAR))
        if channel:
            world.plane.apply(ChannelBound(relayed, CHANNEL, other, path, FAR))
    if channel:
        world.say(frame(b"neighbour"))
        assert await heard(world.peer) == frame(b"neighbour")
        return
    now = asyncio.get_running_loop().time()
    world.plane.to_peer(public[0], public[1], b"neighbour", dont_fragment=False, now=now)
    await world.above.changed.wait()
    assert world.above.unbound == [(public[1], b"neighbour", public[0])]


async def test_what_comes_along_a_diverted_path_goes_to_whom_it_is_diverted_to(world: World):
    taken: asyncio.Queue[bytes] = asyncio.Queue()
    world.plane.divert(world.path, taken.put_nowait)
    world.say(frame(b"for another worker"))
    assert await taken.get() == frame(b"for another worker")
    world.plane.divert(world.path, None)
    world.say(frame(b"for nobody"))
    assert await hears_nothing(world.peer)
    assert taken.empty()


async def test_a_diverted_stream_is_diverted(world: World):
    taken: list[bytes] = []
    path = world.path._replace(transport=Transport.TCP)
    forward = world.plane.add_stream(path, lambda _: True)
    world.plane.divert(path, taken.append)
    forward(frame(b"abc", padded=True), 0.0)
    assert taken == [frame(b"abc", padded=True)]
    world.plane.divert(path, None)
    forward(frame(b"abc", padded=True), 0.0)
    assert len(taken) == 1


async def test_beyond_the_rate_of_a_user_packets_of_all_their_allocations_fall(world: World):
    world.plane.max_user_rate = 1000
    world.allocate()
    world.bind()
    other, relay = bound(), bound()
    relayed = from_socket(relay.getsockname())
    world.plane.add_relay(relayed, relay)
    path = world.path._replace(client=from_socket(other.getsockname()))
    world.plane.apply(AllocationMade(path, relayed, Relaying.UDP, "alice", 600))
    world.plane.apply(PermissionGranted(relayed, world.peer_address.ip, FAR))
    world.plane.apply(ChannelBound(relayed, CHANNEL, world.peer_address, path, FAR))
    world.say(frame(bytes(600)))
    assert len(await heard(world.peer)) == 600
    other.sendto(frame(bytes(600)), to_socket(world.server))
    assert await hears_nothing(world.peer)
    assert world.plane.counters(relayed).dropped == 1
    other.close()
