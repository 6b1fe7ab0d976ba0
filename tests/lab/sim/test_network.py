"""The seam `natkit.network.Network`, as the simulator keeps it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from natkit.errors import NetworkUnreachable, Unsupported, UsageError
from natkit.lab import sim
from natkit.lab.scenarios import behind, scenario
from natkit.lab.sim.node import EPHEMERAL_PORTS
from natkit.lab.topology import Nat, Topology, World
from natkit.network import Family, Interface, Network
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import STUN, Ear, listen, settle

HOME = behind(Nat())


def on_alice(
    main: Callable[[sim.SimWorld, Network], Awaitable[None]], topology: Topology = HOME
) -> None:
    async def start(world: sim.SimWorld) -> None:
        network: Network = world.network("alice")  # mypy holds it against the seam
        await main(world, network)

    sim.run(topology, start)


def test_a_world_keeps_the_labs_contract() -> None:
    async def main(world: World) -> str:
        return world.topology.hosts[0].name

    assert sim.run(HOME, main) == "alice"


def test_an_unknown_node_is_an_error_that_names_the_known_ones() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        with pytest.raises(UsageError, match="alice, carol"):
            world.network("nobody")

    on_alice(main)


def test_ephemeral_ports_are_random_in_range_and_never_reused_at_once() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        ports = []
        for _ in range(300):
            endpoint = await network.open_datagram(Ear())
            ports.append(endpoint.local.port)
            endpoint.close()
        assert len(set(ports)) == 300
        assert set(ports) <= set(EPHEMERAL_PORTS)
        assert sorted(ports) != ports

    on_alice(main)


def test_ephemeral_ports_come_back_when_most_were_used() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        for _ in range(len(EPHEMERAL_PORTS) // 2 + 10):
            (await network.open_datagram(Ear())).close()
        kept = [await network.open_datagram(Ear()) for _ in range(20)]
        assert len({endpoint.local for endpoint in kept}) == 20

    on_alice(main)


def test_a_wildcard_endpoint_says_so_and_sends_from_the_hosts_address() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        assert alice.endpoint is not None
        assert alice.endpoint.local.ip == "0.0.0.0"
        alice.send(b"", STUN)
        await settle(world)
        assert stun.sources[0].ip == "203.0.113.60"

    on_alice(main, scenario("open").topology)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("10.0.1.2", "10.0.1.2", True),
        ("0.0.0.0", "10.0.1.2", True),
        ("10.0.1.2", "0.0.0.0", True),
        ("10.0.1.2", "127.0.0.1", False),
        ("0.0.0.0", "::", False),
    ],
)
def test_a_port_is_bound_once_for_each_address(first: str, second: str, clash: bool) -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        endpoint = await network.open_datagram(Ear(), local=TransportAddress(first, 5))
        if clash:
            with pytest.raises(NetworkUnreachable, match="in use"):
                await network.open_datagram(Ear(), local=TransportAddress(second, 5))
            endpoint.close()
        await network.open_datagram(Ear(), local=TransportAddress(second, 5))

    on_alice(main)


def test_an_address_of_another_host_cannot_be_bound() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match="not its address"):
            await network.open_datagram(Ear(), local=TransportAddress("10.0.1.3", 5))

    on_alice(main)


def test_a_server_with_several_addresses_hears_on_those_it_bound() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        one, every = await listen(world, "stun", STUN), await listen(world, "bob")
        alice = await listen(world, "alice")
        alice.send(b"one", STUN)
        alice.send(b"closed", TransportAddress("203.0.113.11", STUN.port))
        assert every.endpoint is not None
        alice.send(b"every", TransportAddress("203.0.113.50", every.endpoint.local.port))
        await settle(world)
        assert [one.heard[0][0], every.heard[0][0]] == [b"one", b"every"]
        assert len(one.heard) == len(every.heard) == len(alice.errors) == 1

    on_alice(main)


def test_a_closed_endpoint_neither_sends_nor_hears() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        stun.send(b"", stun.sources[0])
        assert alice.endpoint is not None
        alice.endpoint.close()
        alice.endpoint.close()
        alice.send(b"", STUN)
        await settle(world)
        assert alice.heard == []
        assert len(stun.heard) == 1

    on_alice(main)


def test_a_receiver_is_never_called_from_within_send() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        ear = await listen(world, "alice", TransportAddress("127.0.0.1", 5))
        ear.send(b"to myself", TransportAddress("127.0.0.1", 5))
        assert ear.heard == []
        await settle(world)
        assert ear.heard == [(b"to myself", TransportAddress("127.0.0.1", 5))]

    on_alice(main)


def test_sending_without_a_route_is_silent() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        alice = await listen(world, "alice")
        alice.send(b"", TransportAddress("192.0.2.1", 5))
        alice.send(b"", TransportAddress("2001:db8::10", 5))
        await settle(world)
        assert alice.errors == []
        assert network.source_for(TransportAddress("192.0.2.1", 5)) is None

    on_alice(main, scenario("open").topology)


def test_a_host_knows_its_interfaces_its_gateway_and_its_source() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        assert network.interfaces() == (
            Interface("lo", "127.0.0.1", 8),
            Interface("lo", "::1", 128),
            Interface("eth0", "10.0.1.2", 24),
            Interface("eth0", "2001:db8:1::2", 64),
        )
        assert network.gateways(Family.IPV4) == ("10.0.1.1",)
        assert network.gateways(Family.IPV6) == ("2001:db8:1::1",)
        assert world.network("bob").gateways(Family.IPV4) == ()
        assert network.source_for(STUN) == "10.0.1.2"
        assert network.source_for(TransportAddress("2001:db8::10", 1)) == "2001:db8:1::2"
        assert network.source_for(TransportAddress("127.0.0.1", 1)) == "127.0.0.1"

    on_alice(main, scenario("dual-stack").topology)


def test_an_interface_can_be_chosen_by_name() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        v6 = await network.open_datagram(Ear(), family=Family.IPV6, interface="eth0")
        assert v6.local.ip == "2001:db8:1::2"
        wildcard = TransportAddress("0.0.0.0", 5)
        v4 = await network.open_datagram(Ear(), local=wildcard, interface="eth0")
        assert v4.local == ("10.0.1.2", 5)
        with pytest.raises(UsageError, match="wlan7"):
            await network.open_datagram(Ear(), interface="wlan7")
        inside = world.network("home")
        assert (await inside.open_datagram(Ear(), interface="lan")).local.ip == "10.0.1.1"

    on_alice(main, scenario("dual-stack").topology)


def test_an_interface_without_the_family_cannot_be_bound() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match="no IPv6 address"):
            await network.open_datagram(Ear(), family=Family.IPV6, interface="eth0")

    on_alice(main)


def test_literals_and_names_resolve_by_family() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        assert await network.resolve("stun", Family.IPV4) == ("203.0.113.10", "203.0.113.11")
        assert await network.resolve("stun", Family.IPV6) == ("2001:db8::10", "2001:db8::11")
        assert await network.resolve("home", Family.IPV4) == ("203.0.113.100",)
        assert await network.resolve("2001:DB8:0::1", Family.IPV6) == ("2001:db8::1",)
        assert await network.resolve("192.0.2.1", Family.IPV6) == ()
        assert await network.resolve("nowhere.invalid", Family.IPV4) == ()

    on_alice(main)


def test_threads_are_refused() -> None:
    async def main(world: sim.SimWorld, network: Network) -> None:
        with pytest.raises(Unsupported, match="real clock"):
            await network.in_thread(int)

    on_alice(main)
