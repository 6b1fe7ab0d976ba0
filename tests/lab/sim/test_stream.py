"""TCP through simulated NATs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from natkit.errors import NetworkUnreachable, Unsupported
from natkit.lab import sim
from natkit.lab.scenarios import behind, scenario
from natkit.lab.topology import Firewall, Link, Nat, PortPolicy, Topology
from natkit.nat.behaviour import Mapping
from natkit.network import Network, StreamEndpoint, Tls
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import STUN, STUN_IP2, WAN

WEB = TransportAddress("203.0.113.10", 80)
EVERYWHERE = TransportAddress("0.0.0.0", 3478)


async def read_all(stream: StreamEndpoint) -> bytes:
    data = bytearray()
    while chunk := await stream.read():
        data += chunk
    return bytes(data)


async def tell_the_caller_who_it_is(stream: StreamEndpoint) -> None:
    await stream.write(str(stream.remote).encode())


async def echo(stream: StreamEndpoint) -> None:
    while data := await stream.read():
        await stream.write(data)


def from_alice(
    topology: Topology,
    main: Callable[[Network], Awaitable[None]],
    server: Callable[[StreamEndpoint], Awaitable[None]] = tell_the_caller_who_it_is,
) -> None:
    async def start(world: sim.SimWorld) -> None:
        await world.network("stun").listen_stream(server, local=EVERYWHERE)
        await main(world.network("alice"))

    sim.run(topology, start)


@pytest.mark.parametrize(
    ("mapping", "same"),
    [(Mapping.ENDPOINT_INDEPENDENT, True), (Mapping.ADDRESS_AND_PORT_DEPENDENT, False)],
)
def test_two_connections_from_one_port_show_the_mapping(mapping: Mapping, same: bool) -> None:
    async def main(network: Network) -> None:
        one = await network.open_stream(STUN)
        two = await network.open_stream(STUN_IP2, local=one.local)
        assert one.local == two.local
        seen = await read_all(one), await read_all(two)
        assert seen[0].startswith(WAN.encode())
        assert (seen[0] == seen[1]) is same

    from_alice(behind(Nat(mapping, ports=PortPolicy.RANDOM)), main)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_bytes_arrive_whole_and_in_order_in_both_directions(loss: float) -> None:
    sent = bytes(range(256)) * 800

    async def main(network: Network) -> None:
        stream = await network.open_stream(STUN, patience=60)

        async def talk() -> None:
            await stream.write(sent)

        talking = asyncio.create_task(talk())
        back = bytearray()
        while len(back) < len(sent):
            back += await stream.read()
        await talking
        assert bytes(back) == sent

    link = Link(latency=0.005, jitter=0.01, loss=loss, duplicate=0.1)
    from_alice(behind(Nat(), link=link), main, echo)


def test_a_writer_waits_while_the_other_end_takes_nothing() -> None:
    async def take_nothing(stream: StreamEndpoint) -> None:
        await asyncio.sleep(300)
        assert len(await read_all(stream)) == 200_000

    async def main(network: Network) -> None:
        stream = await network.open_stream(STUN)
        began = network.now()
        await stream.write(b"x" * 200_000)
        assert network.now() - began > 299
        await stream.close()
        await network.sleep(10)

    from_alice(behind(Nat()), main, take_nothing)


def test_the_end_of_a_stream_is_an_empty_read_on_both_sides() -> None:
    heard = []

    async def listen_to_the_end(stream: StreamEndpoint) -> None:
        heard.append(await read_all(stream))

    async def main(network: Network) -> None:
        stream = await network.open_stream(STUN)
        await stream.write(b"goodbye")
        await stream.close()
        await stream.close()
        await network.sleep(1)
        assert heard == [b"goodbye"]
        assert await stream.read() == b""
        with pytest.raises(NetworkUnreachable, match="closed"):
            await stream.write(b"more")

    from_alice(behind(Nat()), main, listen_to_the_end)


def test_a_closed_port_refuses_at_once() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match="refused"):
            await network.open_stream(WEB)
        assert network.now() == pytest.approx(0.02)

    from_alice(behind(Nat()), main)


def test_a_dropped_connection_attempt_ends_with_the_callers_patience() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match=r"within 3.0 s"):
            await network.open_stream(STUN, patience=3.0)
        assert network.now() == 3.0

    from_alice(behind(Nat(), Firewall(tcp_ports=(80, 443))), main)


def test_a_firewall_lets_tcp_out_to_the_ports_it_names() -> None:
    async def main(network: Network) -> None:
        assert await read_all(await network.open_stream(STUN))

    from_alice(behind(Nat(), Firewall(udp_blocked=True, tcp_ports=(3478,))), main)


def test_a_host_without_a_route_is_told_so() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match="no route"):
            await network.open_stream(TransportAddress("192.0.2.1", 80))

    from_alice(scenario("open").topology, main)


def test_an_unasked_connection_from_outside_is_dropped_by_the_nat() -> None:
    async def main(world: sim.SimWorld) -> None:
        await world.network("alice").listen_stream(echo, local=EVERYWHERE)
        with pytest.raises(NetworkUnreachable, match="does not answer"):
            await world.network("bob").open_stream(TransportAddress(WAN, 3478))

    sim.run(behind(Nat()), main)


def test_tls_is_refused_with_the_reason() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(Unsupported, match="TLS"):
            await network.open_stream(STUN, tls=Tls("stun"))

    from_alice(behind(Nat()), main)


def test_a_listener_that_closed_refuses() -> None:
    async def main(world: sim.SimWorld) -> None:
        listener = await world.network("stun").listen_stream(echo, local=STUN)
        assert listener.local == STUN
        listener.close()
        with pytest.raises(NetworkUnreachable, match="refused"):
            await world.network("alice").open_stream(STUN)

    sim.run(behind(Nat()), main)


def test_a_peer_that_vanishes_ends_the_stream_with_an_error() -> None:
    async def main(world: sim.SimWorld) -> None:
        async def forget(stream: StreamEndpoint) -> None:
            world._nodes["stun"].leave(stream.local, stream.remote)

        network = world.network("stun")
        await network.listen_stream(forget, local=STUN)
        stream = await world.network("alice").open_stream(STUN)
        await stream.write(b"anybody there?")
        with pytest.raises(NetworkUnreachable, match="reset"):
            await stream.read()

    sim.run(behind(Nat()), main)


def test_a_mistake_in_a_handler_ends_the_run() -> None:
    async def broken(stream: StreamEndpoint) -> None:
        raise ZeroDivisionError("in a handler")

    async def main(network: Network) -> None:
        await network.open_stream(STUN)
        await network.sleep(60)

    with pytest.raises(ZeroDivisionError, match="in a handler"):
        from_alice(behind(Nat()), main, broken)


def test_the_ends_of_a_finished_connection_can_be_used_again() -> None:
    async def main(network: Network) -> None:
        for _ in range(2):
            stream = await network.open_stream(STUN, local=TransportAddress("10.0.1.2", 5000))
            assert await read_all(stream)
            await stream.close()
            await network.sleep(1)

    from_alice(behind(Nat()), main)


def test_two_connections_cannot_have_the_same_ends() -> None:
    async def main(network: Network) -> None:
        stream = await network.open_stream(STUN)
        with pytest.raises(NetworkUnreachable, match="already"):
            await network.open_stream(STUN, local=stream.local)

    from_alice(behind(Nat()), main)


def test_a_connection_cannot_leave_from_an_address_of_another_host() -> None:
    async def main(network: Network) -> None:
        with pytest.raises(NetworkUnreachable, match="cannot bind"):
            await network.open_stream(STUN, local=TransportAddress("10.0.1.3", 5000))

    from_alice(behind(Nat()), main)


def test_an_attempt_that_was_given_up_sends_nothing_more() -> None:
    async def main(world: sim.SimWorld) -> None:
        network = world.network("alice")
        with pytest.raises(NetworkUnreachable):
            await network.open_stream(TransportAddress("203.0.113.99", 80), patience=2.0)
        sent = world.packets
        await network.sleep(200)
        assert sent == world.packets == 2  # SYN at 0 s and at 1 s

    sim.run(behind(Nat()), main)


def test_a_peer_that_falls_silent_is_given_up_after_127_seconds() -> None:
    async def main(world: sim.SimWorld) -> None:
        network = world.network("alice")
        with pytest.raises(NetworkUnreachable, match="does not answer"):
            await network.open_stream(TransportAddress("203.0.113.99", 80), patience=1000.0)
        assert network.now() == 127.0  # 1 + 2 + 4 + … + 64, Linux's tcp_syn_retries

    sim.run(behind(Nat()), main)
