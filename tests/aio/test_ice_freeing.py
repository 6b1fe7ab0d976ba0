"""What was gathered and not chosen goes back: sockets and allocations (RFC 8445 §8.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import natkit
from natkit.errors import NetworkUnreachable
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import Topology, World
from natkit.network import Network
from natkit.wire import TransportAddress
from tests.aio.test_ice_tcp import Inbox
from tests.ice.homes import KINDS, RELAY_PORT, server, tell, two_homes
from tests.lab.turn import TurnHost, turn_host

HOMES = two_homes(KINDS["full-cone"], KINDS["full-cone"])


async def in_use(network: Network, at: TransportAddress) -> bool:
    """Tell whether a UDP socket is bound there."""
    try:
        (await network.open_datagram(Inbox(), local=at)).close()
    except NetworkUnreachable:
        return True
    return False


async def connected(world: World, **options: object) -> tuple[natkit.Connection, natkit.Connection]:
    a, b = (
        natkit.Connection(
            name == "alice",
            network=world.network(name),
            stun_servers=STUN_SERVERS[:1],
            turn_servers=[server()],
            **options,
        )
        for name in ("alice", "bob")
    )
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    await asyncio.gather(a.connect(), b.connect())
    return a, b


def play(main: Callable[[World, TurnHost], Awaitable[None]], homes: Topology = HOMES) -> None:
    async def with_servers(world: World) -> None:
        async with stun_servers(world), turn_host(world, port=RELAY_PORT) as host:
            await main(world, host)

    run(homes, with_servers)


def test_allocations_return_when_a_direct_path_was_chosen():
    async def main(world: World, host: TurnHost) -> None:
        a, b = await connected(world)
        assert len(host.relays) == 2
        await asyncio.sleep(2.5)
        assert len(host.relays) == 2
        await asyncio.sleep(1.0)
        assert host.relays == {}
        await a.send(b"on the path that was chosen")
        assert await b.recv() == b"on the path that was chosen"
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_each_side_keeps_the_one_end_that_a_relayed_path_has_there():
    async def main(world: World, host: TurnHost) -> None:
        a, b = await connected(world)
        sockets = [(world.network("alice"), a), (world.network("bob"), b)]
        await asyncio.sleep(9)
        relays = hosts = 0
        for network, side in sockets:
            (ours,) = [c.address for c in side.local_candidates if c.type == "host"]
            on_relay = side.selected_pair().local.type == "relay"
            assert await in_use(network, ours) is not on_relay
            relays, hosts = relays + on_relay, hosts + (not on_relay)
        assert (relays, hosts) == (len(host.relays), 2 - len(host.relays))
        assert relays > 0
        await a.send(b"relayed")
        assert await b.recv() == b"relayed"
        await asyncio.gather(a.close(), b.close())
        assert host.relays == {}

    play(main, two_homes(KINDS["symmetric"], KINDS["symmetric"]))


@pytest.mark.parametrize("components", [1, 2])
def test_chosen_sockets_stay(components: int):
    async def main(world: World, host: TurnHost) -> None:
        network = world.network("alice")
        a, b = await connected(world, components=components)
        ours = [c.address for c in a.local_candidates if c.type == "host"]
        await asyncio.sleep(5)
        assert host.relays == {}
        assert [await in_use(network, at) for at in ours] == [True] * components
        await asyncio.gather(a.close(), b.close())
        assert [await in_use(network, at) for at in ours] == [False] * components

    play(main)


def test_tcp_listener_is_closed_when_udp_was_chosen():
    async def main(world: World, _: TurnHost) -> None:
        network = world.network("alice")
        a, b = await connected(world, tcp=["passive"])
        (listening,) = [c.address for c in a.local_candidates if c.is_tcp]
        await (await network.open_stream(listening)).close()
        await asyncio.sleep(4)
        with pytest.raises(NetworkUnreachable, match="refused"):
            await network.open_stream(listening)
        await asyncio.gather(a.close(), b.close())

    play(main)
