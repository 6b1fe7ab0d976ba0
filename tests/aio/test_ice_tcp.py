"""Candidates over TCP, in the simulator and on loopback: connections, data, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import natkit
from natkit.aio.ice_tcp import HELLO, MOST_CONNECTIONS, TcpEndpoint
from natkit.aio.network import SocketNetwork
from natkit.ice.candidate import TcpType
from natkit.ice.events import State
from natkit.lab import netns
from natkit.lab.homes import Home, two_homes
from natkit.lab.scenarios import INTERNET
from natkit.lab.sim import run
from natkit.lab.topology import Firewall, Host, Nat, Router, Segment, Topology, World
from natkit.network import IcmpError, Network
from natkit.wire import TransportAddress
from tests.ice.homes import tell

ALL = tuple(TcpType)

ONE_PUBLIC = two_homes(Home(Nat(), udp_blocked=True), Home())
"""Alice is at home behind a NAT that lets no UDP through, bob on the internet."""

FIREWALLED = Topology(
    (INTERNET, Segment("left", "198.51.100.0/24"), Segment("right", "192.0.2.0/24")),
    (
        Host("alice", "left", ("198.51.100.2",)),
        Host("bob", "right", ("192.0.2.2",)),
        Host("stun", "internet", ("203.0.113.10",)),
    ),
    tuple(
        Router(
            name,
            name,
            "internet",
            (inside,),
            (outside,),
            firewall=Firewall(stateful=True, udp_blocked=True),
        )
        for name, inside, outside in (
            ("left", "198.51.100.1", "203.0.113.1"),
            ("right", "192.0.2.1", "203.0.113.2"),
        )
    ),
)
"""No NAT, but both sides let nobody in who was not called, and no UDP."""


def pair(world: World, alice: Any = ALL, bob: Any = ALL) -> tuple[Any, Any]:
    return (
        natkit.Connection(True, network=world.network("alice"), tcp=alice),
        natkit.Connection(False, network=world.network("bob"), tcp=bob),
    )


async def meet(a: natkit.Connection, b: natkit.Connection) -> None:
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    await asyncio.gather(a.connect(), b.connect())


async def talk(a: natkit.Connection, b: natkit.Connection) -> None:
    await a.send(b"hello")
    assert await b.recv() == b"hello"
    await b.send(bytes(30000))
    assert await a.recv() == bytes(30000)


async def one_public(world: World) -> None:
    a, b = pair(world, alice=["active"], bob=["passive"])
    await meet(a, b)
    await talk(a, b)
    selected = a.selected_pair()
    assert (selected.remote.transport, selected.remote.tcptype) == ("tcp", "passive")
    assert not selected.is_relayed
    await asyncio.gather(a.close(), b.close())


def test_side_without_udp_reaches_a_public_one_over_tcp():
    run(ONE_PUBLIC, one_public)


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_side_without_udp_reaches_a_public_one_over_tcp_in_namespaces():
    netns.run(ONE_PUBLIC, one_public)


async def both_at_once(world: World) -> None:
    a, b = pair(world, alice=["so"], bob=["so"])
    await meet(a, b)
    await talk(a, b)
    assert a.selected_pair().local.tcptype == "so"
    await asyncio.gather(a.close(), b.close())


def test_simultaneous_open_passes_a_firewall_on_both_sides():
    run(FIREWALLED, both_at_once)


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_simultaneous_open_passes_a_firewall_on_both_sides_in_namespaces():
    netns.run(FIREWALLED, both_at_once)


def test_connection_that_the_peer_closes_is_lost_at_once():
    async def main(world: World) -> None:
        a, b = pair(world)
        await meet(a, b)
        await asyncio.sleep(6)
        assert a.state is b.state is State.COMPLETED
        began = world.network("alice").now()
        await b.close()
        assert isinstance(await a.get_event(), natkit.ConnectionClosed)
        assert world.network("alice").now() - began < 1
        assert "closed the connection" in a.report()["reason"]
        await a.close()

    run(ONE_PUBLIC, main)


def test_candidates_over_tcp_are_offered_only_where_they_are_asked_for():
    async def main(world: World) -> None:
        for tcp in ((), ("active",), ALL):
            a, _ = pair(world, alice=tcp)
            await a.gather_candidates()
            told = [c for c in a.local_candidates if c.is_tcp]
            assert [c.tcptype for c in told] == list(tcp)
            assert [c.port == 9 for c in told] == [kind == "active" for kind in tcp]
            assert a.get_default_candidate(1).transport == "udp"
            await a.close()

    run(ONE_PUBLIC, main)


def test_unknown_kind_of_tcp_candidate_is_refused():
    with pytest.raises(ValueError, match="pasive"):
        natkit.Connection(True, tcp=["pasive"])


class Inbox:
    """Collects what an endpoint hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, TransportAddress]] = asyncio.Queue()
        self.ended: asyncio.Queue[tuple[TransportAddress, str]] = asyncio.Queue()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.heard.put_nowait((data, source))

    def error_received(self, error: IcmpError) -> None:
        raise AssertionError(error)

    def connection_ended(self, remote: TransportAddress, why: str) -> None:
        self.ended.put_nowait((remote, why))


CHECK = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)


async def endpoint(tcptype: TcpType, network: Network | None = None) -> tuple[TcpEndpoint, Inbox]:
    inbox = Inbox()
    opened = await TcpEndpoint.open(network or SocketNetwork(), inbox, tcptype, "127.0.0.1", 1)
    return opened, inbox


async def test_packets_go_both_ways_over_one_connection_of_this_machine():
    active, ours = await endpoint(TcpType.ACTIVE)
    passive, theirs = await endpoint(TcpType.PASSIVE)
    active.send(CHECK, passive.local)
    data, source = await theirs.heard.get()
    assert data == CHECK
    passive.send(b"data", source)
    assert await ours.heard.get() == (b"data", passive.local)
    await active.close_and_wait()
    assert (await theirs.ended.get())[0] == source
    await passive.close_and_wait()


async def test_refused_connection_is_told_in_words():
    active, ours = await endpoint(TcpType.ACTIVE)
    passive, _ = await endpoint(TcpType.PASSIVE)
    await passive.close_and_wait()
    await asyncio.sleep(0)
    active.send(CHECK, passive.local)
    remote, why = await ours.ended.get()
    assert remote == passive.local
    assert "cannot connect" in why
    await active.close_and_wait()


async def test_passive_side_connects_to_nobody():
    passive, ours = await endpoint(TcpType.PASSIVE)
    nobody = TransportAddress("127.0.0.1", 9)
    passive.send(CHECK, nobody)
    assert await ours.ended.get() == (nobody, f"there is no connection from {nobody}")
    await passive.close_and_wait()


async def test_simultaneous_open_on_this_machine():
    (a, from_b), (b, from_a) = (
        await endpoint(TcpType.SIMULTANEOUS_OPEN),
        await endpoint(TcpType.SIMULTANEOUS_OPEN),
    )
    a.send(CHECK, b.local)
    b.send(CHECK, a.local)
    assert await from_a.heard.get() == (CHECK, a.local)
    assert await from_b.heard.get() == (CHECK, b.local)
    await a.close_and_wait()
    await b.close_and_wait()


async def test_strangers_take_no_more_than_their_share_of_connections():
    passive, theirs = await endpoint(TcpType.PASSIVE)
    strangers = [
        await SocketNetwork().open_stream(passive.local) for _ in range(MOST_CONNECTIONS + 1)
    ]
    assert await strangers[-1].read() == b""
    await strangers[0].write(b"\x00\x01x")
    assert (await theirs.heard.get())[0] == b"x"
    await passive.close_and_wait()
    for stranger in strangers:
        await stranger.close()


def test_stranger_who_says_nothing_is_sent_away():
    async def main(world: World) -> None:
        network = world.network("bob")
        passive = await TcpEndpoint.open(network, Inbox(), TcpType.PASSIVE, "203.0.113.101", 1)
        alice = world.network("alice")
        stranger = await alice.open_stream(passive.local)
        began = alice.now()
        assert await stranger.read() == b""
        assert HELLO <= alice.now() - began < HELLO + 1
        await stranger.close()
        await passive.close_and_wait()

    run(ONE_PUBLIC, main)


async def test_only_the_chosen_connection_is_kept():
    passive, theirs = await endpoint(TcpType.PASSIVE)
    a, ours = await endpoint(TcpType.ACTIVE)
    b, others = await endpoint(TcpType.ACTIVE)
    a.send(CHECK, passive.local)
    chosen = (await theirs.heard.get())[1]
    b.send(CHECK, passive.local)
    await theirs.heard.get()
    passive.keep(chosen)
    assert (await others.ended.get())[0] == passive.local
    passive.send(b"still here", chosen)
    assert (await ours.heard.get())[0] == b"still here"
    for each in (a, b, passive):
        await each.close_and_wait()
