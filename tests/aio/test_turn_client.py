"""The relayed endpoint: in simulated networks, where it has a NAT before it, over UDP and TCP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest

from natkit.aio.stream_carrier import BACKLOG, StreamCarrier
from natkit.aio.turn_client import HOPS, PORTS, RelayedEndpoint, allocate, is_relayed
from natkit.aio.turn_failure import Server, error_of
from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable
from natkit.lab import sim
from natkit.lab.scenarios import WAN, scenario
from natkit.lab.topology import World
from natkit.network import IcmpError
from natkit.tools.turn_path import Inbox
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Cause, Failure
from natkit.turn.forwarding import Transport
from natkit.wire import AlternateServer, ChannelData, Data, Message, Method, TransportAddress
from tests.lab.turn import IP, PORT, TurnHost, turn_host

T = TypeVar("T")

LOGIN = Login("alice", "wonderland")
AT = TransportAddress(IP, PORT)
UDP, TCP = Server(AT, Transport.UDP), Server(AT, Transport.TCP)
BOB = "203.0.113.50"

both = pytest.mark.parametrize("server", [UDP, TCP], ids=["udp", "tcp"])


def play(main: Callable[[World, TurnHost], Awaitable[T]], *, name: str = "home") -> T:
    """Run `main` in a scenario with a TURN server in it."""

    async def whole(world: World) -> T:
        async with turn_host(world) as host:
            return await main(world, host)

    return sim.run(scenario(name).topology, whole, seed=1, max_virtual_seconds=10_000.0)


async def open_relay(
    world: World,
    server: Server,
    inbox: Inbox | None = None,
    login: Login | None = LOGIN,
    on_lost: Callable[[Failure], None] | None = None,
) -> RelayedEndpoint:
    return await RelayedEndpoint.open(
        world.network("alice"),
        server,
        login,
        inbox or Inbox(),
        randomness=Random(1).randbytes,
        on_lost=on_lost,
    )


@both
def test_datagrams_go_both_ways_between_a_home_and_a_peer(server: Server) -> None:
    async def main(world: World, _host: TurnHost) -> None:
        ours, bobs = Inbox(), Inbox()
        relay = await open_relay(world, server, ours)
        assert relay.local.ip == IP
        assert relay.allocated.mapped.ip == WAN
        bob = await world.network("bob").open_datagram(bobs, local=TransportAddress(BOB, 5000))
        relay.send(b"to bob", bob.local)
        assert await bobs.wait_for(b"to bob", 1.0) == relay.local
        bob.send(b"to alice", relay.local)
        assert await ours.wait_for(b"to alice", 1.0) == bob.local
        await relay.open_channel(bob.local)
        relay.send(b"by channel", bob.local)
        assert await bobs.wait_for(b"by channel", 1.0) == relay.local
        bob.send(b"and back", relay.local)
        assert await ours.wait_for(b"and back", 1.0) == bob.local
        bob.close()
        await relay.close_and_wait()

    play(main)


@both
def test_call_lasts_for_two_hours_behind_a_nat(server: Server) -> None:
    async def main(world: World, host: TurnHost) -> None:
        lost: list[Failure] = []
        ours, bobs = Inbox(), Inbox()
        relay = await open_relay(world, server, ours, on_lost=lost.append)
        bob = await world.network("bob").open_datagram(bobs, local=TransportAddress(BOB, 5000))
        await relay.open_channel(bob.local)
        for _ in range(240):
            # Every 30 s, since the home router forgets a mapping after two minutes.
            relay.send(b"still there", bob.local)
            assert await bobs.wait_for(b"still there", 1.0) == relay.local
            await world.network("alice").sleep(30.0)
        assert lost == []
        bob.close()
        await relay.close_and_wait()
        assert host.relays == {}

    play(main)


def test_two_homes_without_a_way_between_them_meet_on_two_relays() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        ours, theirs = Inbox(), Inbox()
        alice = await open_relay(world, UDP, ours)
        carol = await RelayedEndpoint.open(
            world.network("carol"), UDP, LOGIN, theirs, randomness=Random(2).randbytes
        )
        await carol.permit(alice.local.ip)
        alice.send(b"hello", carol.local)
        assert await theirs.wait_for(b"hello", 1.0) == alice.local
        await alice.close_and_wait()
        await carol.close_and_wait()

    play(main, name="symmetric")


@both
def test_wrong_password_is_an_authentication_error(server: Server) -> None:
    async def main(world: World, _host: TurnHost) -> None:
        with pytest.raises(AuthenticationFailed, match=r"refused ALLOCATE with error 401"):
            await open_relay(world, server, login=Login("alice", "wrong"))
        with pytest.raises(AuthenticationFailed, match="none were given"):
            await open_relay(world, server, login=None)

    play(main)


def test_denied_peer_is_told_with_its_code() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        relay = await open_relay(world, UDP)
        with pytest.raises(NatkitError, match="refused CREATE_PERMISSION with error 403"):
            await relay.permit("192.168.0.1")
        with pytest.raises(NatkitError, match="refused CHANNEL_BIND with error 403"):
            await relay.open_channel(TransportAddress("192.168.0.1", 1))
        await relay.close_and_wait()

    play(main)


def test_blocked_udp_is_no_answer_after_the_patience() -> None:
    async def main(world: World, _host: TurnHost) -> float:
        network = world.network("alice")
        began = network.now()
        with pytest.raises(NetworkUnreachable, match=r"no answer from 203\.0\.113\.10:3478"):
            await open_relay(world, UDP)
        return network.now() - began

    assert play(main, name="udp-blocked") == pytest.approx(10.0, abs=0.1)


def test_port_without_a_server_is_told_at_once() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        server = Server(TransportAddress(BOB, PORT))
        with pytest.raises(NetworkUnreachable, match="nobody listens there"):
            await open_relay(world, server)
        with pytest.raises(NetworkUnreachable):
            await open_relay(world, Server(TransportAddress(BOB, PORT), Transport.TCP))

    play(main)


def test_server_that_hangs_up_is_told_to_the_owner() -> None:
    async def main(world: World, host: TurnHost) -> None:
        lost: list[Failure] = []
        ended = asyncio.Event()

        def on_lost(failure: Failure) -> None:
            lost.append(failure)
            ended.set()

        streams = []
        serve = host.serve_stream

        listener = await host.network.listen_stream(
            lambda stream: (streams.append(stream), serve(stream))[1],
            local=TransportAddress(IP, PORT + 1),
        )
        server = Server(TransportAddress(IP, PORT + 1), Transport.TCP)
        relay = await open_relay(world, server, on_lost=on_lost)
        await streams[0].close()
        await ended.wait()
        assert [failure.cause for failure in lost] == [Cause.DISCONNECTED]
        with pytest.raises(NetworkUnreachable, match="it has ended"):
            await relay.permit(BOB)
        listener.close()

    play(main)


class Signpost:
    """A server that sends everybody to `other`."""

    def __init__(self, other: TransportAddress) -> None:
        self.other = other
        self.asked = 0

    async def open(self, world: World, local: TransportAddress) -> None:
        self.endpoint = await world.network("stun").open_datagram(self, local=local)

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.asked += 1
        refusal = Message.decode(data).error(300, "There", AlternateServer(self.other))
        self.endpoint.send(refusal.encode(), source)

    def error_received(self, error: IcmpError) -> None:
        raise AssertionError(error)


def test_alternate_server_is_gone_to() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        here = TransportAddress(IP, 4000)
        await Signpost(AT).open(world, here)
        relay = await open_relay(world, Server(here))
        assert relay.server.address == AT
        await relay.close_and_wait()

    play(main)


class Forgetful:
    """Puts before a server one that has an allocation already for the first ports that ask."""

    def __init__(self, host: TurnHost, ports: int) -> None:
        self.host, self.ports = host, ports
        self.refused: set[TransportAddress] = set()
        self.received = host.datagram_received
        vars(host)["datagram_received"] = self.receive

    def receive(self, data: bytes, source: TransportAddress) -> None:
        if source not in self.refused and len(self.refused) == self.ports:
            self.received(data, source)
            return
        self.refused.add(source)
        assert self.host.udp is not None
        self.host.udp.send(Message.decode(data).error(437, "Which?").encode(), source)


def test_mismatch_is_answered_from_another_port() -> None:
    async def main(world: World, host: TurnHost) -> None:
        forgetful = Forgetful(host, PORTS - 1)
        relay = await open_relay(world, UDP)
        assert len(forgetful.refused) == PORTS - 1
        assert relay.allocated.mapped not in forgetful.refused
        await relay.close_and_wait()

    play(main)


def test_mismatch_on_every_port_is_told() -> None:
    async def main(world: World, host: TurnHost) -> None:
        Forgetful(host, PORTS)
        with pytest.raises(NatkitError, match="error 437"):
            await open_relay(world, UDP)

    play(main)


def test_circle_of_alternate_servers_ends() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        one, two = TransportAddress(IP, 4000), TransportAddress(IP, 4001)
        await Signpost(two).open(world, one)
        await Signpost(one).open(world, two)
        made = await allocate(
            world.network("alice"), Server(one), LOGIN, Inbox(), randomness=Random(1).randbytes
        )
        assert isinstance(made, Failure)
        assert made.code == 300

    play(main)


def test_chain_of_alternate_servers_is_followed_so_far() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        posts = [Signpost(TransportAddress(IP, 4001 + n)) for n in range(HOPS + 2)]
        for n, post in enumerate(posts):
            await post.open(world, TransportAddress(IP, 4000 + n))
        with pytest.raises(NatkitError, match="error 300"):
            await open_relay(world, Server(TransportAddress(IP, 4000)))
        assert [post.asked for post in posts] == [1] * (HOPS + 1) + [0]

    play(main)


def test_icmp_error_at_the_relay_reaches_the_receiver() -> None:
    async def main(world: World, _host: TurnHost) -> None:
        inbox = Inbox()
        relay = await open_relay(world, UDP, inbox)
        nobody = TransportAddress(BOB, 5999)
        await relay.permit(BOB)
        relay.send(b"anybody?", nobody)
        await world.network("alice").sleep(1.0)
        assert [(error.kind, error.code, error.destination) for error in inbox.errors] == [
            (3, 3, nobody)
        ]
        await relay.close_and_wait()

    play(main)


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (
            Failure(Method.ALLOCATE, Cause.REFUSED, 486, "Full"),
            NatkitError,
            "486: Full. See: natkit",
        ),
        (Failure(Method.ALLOCATE, Cause.REFUSED, 599, "Odd"), NatkitError, "error 599: Odd$"),
        (
            Failure(Method.REFRESH, Cause.REFUSED, 441),
            AuthenticationFailed,
            "REFRESH with error 441",
        ),
        (Failure(Method.ALLOCATE, Cause.UNPROVED), AuthenticationFailed, "not signed with our"),
        (Failure(Method.ALLOCATE, Cause.BID_DOWN), AuthenticationFailed, "list of password"),
        (Failure(Method.ALLOCATE, Cause.UNUSABLE, reason="odd"), NatkitError, "answer .*: odd"),
        (
            Failure(Method.ALLOCATE, Cause.DISCONNECTED, reason="x"),
            NetworkUnreachable,
            "lost .*: x",
        ),
    ],
    ids=str,
)
def test_failure_becomes_the_error_of_its_kind(
    failure: Failure, kind: type[NatkitError], text: str
) -> None:
    error = error_of(failure, UDP)
    assert type(error) is kind
    assert re.search(text, str(error))


class Stuck:
    """A stream whose other end takes nothing until `open`; `done` once it has got `last`."""

    local, remote = TransportAddress("192.0.2.9", 1), AT

    def __init__(self, last: bytes) -> None:
        self.written: list[bytes] = []
        self.last = last
        self.open, self.done = asyncio.Event(), asyncio.Event()

    async def read(self, limit: int = 65536) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        await self.open.wait()
        self.written.append(data)
        if data == self.last:
            self.done.set()

    async def close(self) -> None:
        """Nothing to close."""


async def test_stream_that_takes_nothing_drops_data_and_keeps_requests() -> None:
    request = Message.request(Method.REFRESH, bytes(12)).encode()
    stream = Stuck(request)
    carrier = StreamCarrier(stream, Inbox(), lambda why: None, is_relayed)
    data = ChannelData(0x4000, bytes(1000)).encode(padded=True)
    told = Message.indication(Method.SEND, bytes(12), Data(bytes(1000))).encode()
    for _ in range(100):
        carrier.send(data, AT)
        carrier.send(told, AT)
    carrier.send(request, AT)
    stream.open.set()
    await stream.done.wait()
    assert BACKLOG <= sum(map(len, stream.written)) <= BACKLOG + 3 * len(data)
    carrier.close()
    await carrier.wait_closed()
