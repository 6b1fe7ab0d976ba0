"""What happens to packets in real namespaces, besides mapping and filtering."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest

from natkit.errors import NetworkUnreachable
from natkit.lab import netns
from natkit.lab.scenarios import SCENARIOS, WAN, behind
from natkit.lab.topology import Firewall, Nat, PortPolicy, World
from natkit.nat.behaviour import Filtering, Mapping
from natkit.network import Family, StreamEndpoint
from natkit.wire import TransportAddress
from tests.lab.observe import (
    FIRST,
    PATIENCE,
    closing,
    mapped,
    open_servers,
    open_socket,
)

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "nft", "ip")]

HOME = SCENARIOS["home"].topology
SERVER = TransportAddress(FIRST, 3478)


@pytest.mark.parametrize(
    ("name", "ttl", "reporter"),
    [
        ("home", 1, "10.0.1.1"),
        ("double", 1, "10.0.1.1"),
        ("double", 2, "100.64.0.1"),
        ("firewalled", 1, "198.51.100.1"),
        ("udp-blocked", 1, "10.0.1.1"),
    ],
)
def test_each_router_on_the_way_reports_a_packet_that_ran_out(
    name: str, ttl: int, reporter: str
) -> None:
    async def main(world: World) -> tuple[int, str | None] | None:
        alice = await open_socket(world, "alice")
        with closing(alice):
            alice.send("trace", SERVER, ttl=ttl)
            error = await alice.next_error()
            return None if error is None else (error.kind, error.reporter)

    assert netns.run(SCENARIOS[name].topology, main) == (11, reporter)


def test_time_exceeded_is_not_rationed() -> None:
    async def main(world: World) -> int:
        alice = await open_socket(world, "alice")
        with closing(alice):
            for port in range(3000, 3040):
                alice.send("trace", TransportAddress(FIRST, port), ttl=1)
            reports = [await alice.next_error() for _ in range(40)]
        return sum(error is not None for error in reports)

    assert netns.run(HOME, main) == 40


def test_ipv6_goes_out_and_strangers_do_not_come_in() -> None:
    async def main(world: World) -> tuple[TransportAddress | None, set[str]]:
        server = await open_socket(world, "stun", TransportAddress("2001:db8::10", 3478))
        stranger = await open_socket(world, "stun2", family=Family.IPV6)
        alice = await open_socket(world, "alice", family=Family.IPV6)
        with closing(server, stranger, alice):
            outside = await mapped(alice, server)
            assert outside is not None
            server.send("met", outside)
            stranger.send("stranger", outside)
            return outside._replace(port=0), await alice.all()

    seen = netns.run(SCENARIOS["dual-stack"].topology, main)
    assert seen == (TransportAddress("2001:db8:1::2", 0), {"met"})


def test_only_the_allowed_tcp_ports_go_out() -> None:
    async def main(world: World) -> list[bool]:
        stun, alice = world.network("stun"), world.network("alice")
        came_through = []
        for port in (443, 8443):
            listener = await stun.in_thread(partial(socket.create_server, (FIRST, port)))
            try:
                stream = await alice.open_stream(TransportAddress(FIRST, port), patience=0.5)
                await stream.close()
                came_through.append(True)
            except NetworkUnreachable:
                came_through.append(False)
            finally:
                listener.close()
        return came_through

    firewall = Firewall(tcp_ports=(80, 443))
    assert netns.run(behind(Nat(), firewall), main) == [True, False]


def test_port_unreachable_comes_back_through_the_nat() -> None:
    async def main(world: World) -> tuple[int, int, str | None] | None:
        alice = await open_socket(world, "alice")
        with closing(alice):
            alice.send("nobody listens", TransportAddress(FIRST, 9))
            error = await alice.next_error()
            return None if error is None else (error.kind, error.code, error.reporter)

    assert netns.run(HOME, main) == (3, 3, FIRST)


@pytest.mark.parametrize("name", ["home", "symmetric-eif", "adm-adf", "sequential", "double"])
def test_fragments_come_through_both_ways(name: str) -> None:
    async def main(world: World) -> list[int]:
        server = await open_socket(world, "stun", SERVER)
        alice = await open_socket(world, "alice")
        sizes = []
        with closing(server, alice):
            outside = await mapped(alice, server)
            assert outside is not None
            for sender, target, receiver in ((alice, SERVER, server), (server, outside, alice)):
                sender.send("x" * 4000, target)
                packet = await receiver.next(PATIENCE)
                sizes.append(0 if packet is None else len(packet[0]))
        return sizes

    assert netns.run(SCENARIOS[name].topology, main) == [4000, 4000]


@pytest.mark.parametrize(
    "name",
    [
        "open",
        "home",
        "home-random",
        "symmetric",
        "adm-adf",
        "sequential",
        "pool-arbitrary",
        "one-to-one",
        "udp-blocked",
        "double",
    ],
)
def test_tcp_goes_through_every_kind_of_nat(name: str) -> None:
    async def main(world: World) -> tuple[str, bytes]:
        seen: list[str] = []

        async def echo(stream: StreamEndpoint) -> None:
            seen.append(stream.remote.ip)
            await stream.write(await stream.read())

        at = TransportAddress(FIRST, 443)
        listener = await world.network("stun").listen_stream(echo, local=at)
        stream = await world.network("alice").open_stream(at)
        await stream.write(b"hello")
        answer = await stream.read()
        await stream.close()
        listener.close()
        return seen[0], answer

    source, answer = netns.run(SCENARIOS[name].topology, main)
    assert answer == b"hello"
    assert source.startswith("203.0.113.")
    assert (source == "203.0.113.60") == (name == "open")


async def _collide(world: World, *, alice_elsewhere_first: bool) -> list[TransportAddress | None]:
    """Let carol take a port at one server; return alice's mappings, in the order of the servers."""
    servers = list((await open_servers(world)).values())
    local = {
        "alice": TransportAddress("10.0.1.2", 5000),
        "carol": TransportAddress("10.0.1.3", 5000),
    }
    alice, carol = [await open_socket(world, name, local[name]) for name in ("alice", "carol")]
    with closing(alice, carol, *servers):
        await mapped(carol, servers[0])
        order = [servers[1], servers[0]] if alice_elsewhere_first else servers[:2]
        seen = {server: await mapped(alice, server) for server in order}
        return [seen[server] for server in servers[:2]]


def test_a_port_that_is_taken_is_replaced_for_all_destinations() -> None:
    async def main(world: World) -> list[TransportAddress | None]:
        return await _collide(world, alice_elsewhere_first=False)

    here, elsewhere = netns.run(HOME, main)
    assert here == elsewhere
    assert here != TransportAddress(WAN, 5000)


def test_a_port_that_is_taken_later_makes_a_second_mapping() -> None:
    """Port overloading: it looks endpoint-independent until the collision."""

    async def main(world: World) -> list[TransportAddress | None]:
        return await _collide(world, alice_elsewhere_first=True)

    here, elsewhere = netns.run(HOME, main)
    assert elsewhere == TransportAddress(WAN, 5000)
    assert here not in (None, elsewhere)


@pytest.mark.parametrize(
    ("mapping", "through"),
    [
        (Mapping.ENDPOINT_INDEPENDENT, ["1a", "1b", "1c", "2a", "2b", "2c"]),
        (Mapping.ADDRESS_AND_PORT_DEPENDENT, ["1a", "1b"]),
    ],
    ids=["two sockets fit", "two flows fit"],
)
def test_a_full_table_refuses_new_mappings(mapping: Mapping, through: list[str]) -> None:
    async def main(world: World) -> list[str]:
        servers = await open_servers(world)
        came: list[str] = []
        sockets = [await open_socket(world, "alice") for _ in range(3)]
        with closing(*servers.values(), *sockets):
            for number, inside in enumerate(sockets, start=1):
                for letter, server in zip("abc", servers.values(), strict=False):
                    inside.send(f"{number}{letter}", server.endpoint.local)
                    packet = await server.next()
                    came += [] if packet is None else [packet[0]]
        return came

    nat = Nat(mapping, ports=PortPolicy.RANDOM, table_size=2)
    assert netns.run(behind(nat), main) == through


@pytest.mark.slow
def test_a_mapping_is_forgotten_after_its_lifetime_and_not_before() -> None:
    async def main(world: World) -> list[int | None]:
        server = await open_socket(world, "stun", SERVER)
        alice = await open_socket(world, "alice")
        ports = []
        with closing(server, alice):
            for wait in (0, 1, 4):
                await asyncio.sleep(wait)
                outside = await mapped(alice, server)
                ports.append(None if outside is None else outside.port)
        return ports

    first, after_1_s, after_4_s = netns.run(SCENARIOS["short-lifetime"].topology, main)
    assert first == after_1_s
    assert first != after_4_s


def test_answering_a_newcomer_does_not_redirect_the_mapping() -> None:
    """The answer's flow was opened from outside: its original source is the newcomer."""

    async def main(world: World) -> set[str]:
        servers = list((await open_servers(world)).values())
        bob = await open_socket(world, "bob")
        alice = await open_socket(world, "alice")
        with closing(alice, bob, *servers):
            outside = await mapped(alice, servers[0])
            assert outside is not None
            bob.send("from bob", outside)
            packet = await alice.next(PATIENCE)
            assert packet is not None
            alice.send("answer", packet[1])
            answered = await bob.next(PATIENCE)
            assert answered == ("answer", outside)
            servers[3].send("from another", outside)
            return await alice.all()

    topology = behind(Nat(filtering=Filtering.ENDPOINT_INDEPENDENT))
    assert netns.run(topology, main) == {"from another"}


def test_an_uninvited_packet_does_not_cost_a_mapping_its_port() -> None:
    """If the router answered it, the flow of that answer would take the port."""

    async def main(world: World) -> TransportAddress | None:
        bob = await open_socket(world, "bob", TransportAddress("203.0.113.50", 4000))
        alice = await open_socket(world, "alice", TransportAddress("10.0.1.2", 5000))
        with closing(alice, bob):
            bob.send("too early", TransportAddress(WAN, 5000))
            await asyncio.sleep(0.05)
            return await mapped(alice, bob)

    assert netns.run(HOME, main) == TransportAddress(WAN, 5000)
