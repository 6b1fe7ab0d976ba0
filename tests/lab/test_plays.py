"""The simulator and the kernel, play by play: the finer points must come out the same in both.

Each play is written once, against `World`, and returns what was seen in a form that does not
depend on random ports.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from natkit.lab import netns, sim
from natkit.lab.scenarios import behind, behind_two, scenario
from natkit.lab.topology import Hairpin, Nat, PortPolicy, Topology, World
from natkit.nat.behaviour import Filtering, Mapping
from natkit.wire import TransportAddress
from tests.lab.observe import Socket, closing, mapped, open_servers, open_socket

APD = Mapping.ADDRESS_AND_PORT_DEPENDENT
EIF = Filtering.ENDPOINT_INDEPENDENT
RANDOM = PortPolicy.RANDOM

ALICE = TransportAddress("10.0.1.2", 5000)
CAROL = TransportAddress("10.0.1.3", 5000)
STUN = TransportAddress("203.0.113.10", 3478)

Play = Callable[[World], Awaitable[object]]


async def two_hosts_and_servers(world: World) -> tuple[Socket, Socket, list[Socket]]:
    """Open alice and carol on the same port, and the four sockets of the server."""
    alice = await open_socket(world, "alice", ALICE)
    carol = await open_socket(world, "carol", CAROL)
    return alice, carol, list((await open_servers(world)).values())


def kept(address: TransportAddress | None) -> bool:
    assert address is not None
    return address.port == ALICE.port


async def colliding_after_a_free_destination(world: World) -> object:
    """Carol meets a free server first, then alice's: two mappings, though the NAT is a cone."""
    alice, carol, servers = await two_hosts_and_servers(world)
    with closing(alice, carol, *servers):
        seen = [await mapped(alice, servers[0])]
        seen += [await mapped(carol, servers[n]) for n in (2, 0, 1, 2)]
        return [*map(kept, seen), seen[2] == seen[3]]


async def colliding_at_once(world: World) -> object:
    """Carol meets alice's server first: one mapping, with another port."""
    alice, carol, servers = await two_hosts_and_servers(world)
    with closing(alice, carol, *servers):
        seen = [await mapped(alice, servers[0])]
        seen += [await mapped(carol, server) for server in servers]
        return [*map(kept, seen), len(set(seen[1:]))]


async def a_newcomer_on_a_shared_port(world: World) -> object:
    """Both hosts share a port towards different servers; a stranger sends to it."""
    alice, carol, servers = await two_hosts_and_servers(world)
    bob = await open_socket(world, "bob")
    with closing(alice, carol, bob, *servers):
        shared = [await mapped(alice, servers[0]), await mapped(carol, servers[2])]
        assert shared[0] is not None
        bob.send("hello", shared[0])
        return [shared[0] == shared[1], await alice.all(), await carol.all()]


async def answering_a_newcomer(world: World) -> object:
    """A stranger asks a symmetric NAT's port: the answer comes from that very port."""
    alice, bob = await open_socket(world, "alice"), await open_socket(world, "bob")
    server = await open_socket(world, "stun", STUN)
    with closing(alice, bob, server):
        asked = await mapped(alice, server)
        assert asked is not None
        bob.send("hello", asked)
        heard = await alice.next()
        assert heard is not None
        alice.send("answer", heard[1])
        answer = await bob.next()
        return answer is not None and answer[1] == asked


async def dying_on_the_way(world: World) -> object:
    """Each router reports what died at it, the server hears the rest."""
    alice = await open_socket(world, "alice", ALICE)
    server = await open_socket(world, "stun", STUN)
    with closing(alice, server):
        found = []
        for ttl in (1, 2, 3):
            alice.send("hop", STUN, ttl=ttl)
            error = await alice.next_error(0.3)
            found.append(error and (error.kind, error.code, error.reporter, error.destination))
        return [*found, await server.all()]


async def a_closed_port_outside(world: World) -> object:
    """The report comes back through the NATs to the socket that sent."""
    alice = await open_socket(world, "alice", ALICE)
    with closing(alice):
        alice.send("knock", STUN)
        error = await alice.next_error()
    assert error is not None
    return error


async def a_closed_port_inside(world: World) -> object:
    """The report goes out under the external name."""
    alice = await open_socket(world, "alice", ALICE)
    server = await open_socket(world, "stun", STUN)
    with closing(server):
        outside = await mapped(alice, server)
        assert outside is not None
        alice.endpoint.close()
        await world.network("alice").sleep(0.05)
        server.send("anybody?", outside)
        error = await server.next_error()
    assert error is not None
    return [error.kind, error.code, error.reporter, error.destination == outside]


async def calling_the_neighbours_mapping(world: World) -> object:
    """With hairpinning she hears it; without, the router says that the port is closed."""
    alice, carol, servers = await two_hosts_and_servers(world)
    with closing(alice, carol, *servers):
        await mapped(alice, servers[0])
        outside = await mapped(carol, servers[2])
        assert outside is not None
        alice.send("hairpin", outside)
        error = await alice.next_error(0.3)
        return [await carol.all(), error and (error.kind, error.code, error.reporter)]


async def calling_ones_own_mapping(world: World) -> object:
    """Systems drop what comes from their own address, so the source must be external."""
    alice, other = await open_socket(world, "alice", ALICE), await open_socket(world, "alice")
    server = await open_socket(world, "stun", STUN)
    with closing(alice, other, server):
        outside = await mapped(alice, server)
        assert outside is not None
        other.send("me", outside)
        return await alice.all()


async def more_sockets_than_the_table_holds(world: World) -> object:
    server = await open_socket(world, "stun", STUN)
    sockets = [await open_socket(world, "alice") for _ in range(5)]
    with closing(*sockets, server):
        for sock in sockets:
            sock.send(str(sock.endpoint.local.port), STUN)
        return len(await server.all())


async def knocking_at_the_router(world: World) -> object:
    """A stranger gets no answer, not even an error."""
    bob = await open_socket(world, "bob")
    with closing(bob):
        bob.send("knock", TransportAddress("203.0.113.100", 5000))
        return await bob.next_error(0.3)


PLAYS: list[tuple[Play, Topology]] = [
    (colliding_after_a_free_destination, behind(Nat())),
    (colliding_at_once, behind(Nat())),
    (a_newcomer_on_a_shared_port, behind(Nat(filtering=EIF))),
    (answering_a_newcomer, scenario("symmetric-eif").topology),
    (answering_a_newcomer, scenario("adm-eif").topology),
    (dying_on_the_way, behind_two(Nat(), Nat())),
    (a_closed_port_outside, behind(Nat(ports=RANDOM))),
    (a_closed_port_outside, behind_two(Nat(), Nat(APD, ports=RANDOM))),
    (a_closed_port_inside, behind(Nat(ports=RANDOM))),
    (calling_the_neighbours_mapping, behind(Nat(ports=RANDOM))),
    (calling_the_neighbours_mapping, behind(Nat(ports=RANDOM, hairpin=Hairpin.EXTERNAL_SOURCE))),
    (calling_ones_own_mapping, behind(Nat(hairpin=Hairpin.EXTERNAL_SOURCE))),
    (calling_ones_own_mapping, behind(Nat(hairpin=Hairpin.INTERNAL_SOURCE))),
    (more_sockets_than_the_table_holds, behind(Nat(table_size=3))),
    (more_sockets_than_the_table_holds, behind(Nat(table_size=8))),
    (knocking_at_the_router, behind(Nat())),
]


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
@pytest.mark.parametrize(
    ("play", "topology"), PLAYS, ids=[f"{n}-{play.__name__}" for n, (play, _) in enumerate(PLAYS)]
)
def test_the_kernel_and_the_simulator_agree(play: Play, topology: Topology) -> None:
    simulated = sim.run(topology, play)
    assert netns.run(topology, play) == simulated
