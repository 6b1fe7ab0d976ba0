"""Unmodified asyncio code on the simulated network."""

from __future__ import annotations

import asyncio
import socket

import aioice
import aioice.ice
import pytest

from natkit.errors import Unsupported, UsageError
from natkit.lab import sim
from natkit.lab.scenarios import HOME, INTERNET, behind
from natkit.lab.sim.sockets import current_network
from natkit.lab.topology import Host, Nat, PortPolicy, Router, Segment, Topology
from natkit.network import Family
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import STUN, StunServer, listen

WORK = Segment("work", "10.0.2.0/24")


def two_homes(alices: Nat, daves: Nat) -> Topology:
    """Return alice and dave, each behind a NAT of their own, and a server on the internet."""
    return Topology(
        (INTERNET, HOME, WORK),
        (
            Host("alice", "home", ("10.0.1.2",)),
            Host("dave", "work", ("10.0.2.2",)),
            Host("stun", "internet", (STUN.ip,)),
        ),
        (
            Router("home", "home", "internet", ("10.0.1.1",), ("203.0.113.100",), alices),
            Router("work", "work", "internet", ("10.0.2.1",), ("203.0.113.200",), daves),
        ),
    )


def current_ipv4_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Stand in for aioice.ice.get_host_addresses, which asks the real machine."""
    return [i.ip for i in current_network().interfaces() if i.name != "lo" and ":" not in i.ip]


async def connect_with_aioice(world: sim.SimWorld) -> tuple[str, str]:
    await listen(world, "stun", STUN, StunServer())
    with world.as_host("alice"):
        one = aioice.Connection(ice_controlling=True, stun_server=("stun", STUN.port))
    with world.as_host("dave"):
        two = aioice.Connection(ice_controlling=False, stun_server=("stun", STUN.port))
    await world.on("alice", one.gather_candidates())
    await world.on("dave", two.gather_candidates())
    for here, there in ((one, two), (two, one)):
        for candidate in there.local_candidates:
            await here.add_remote_candidate(candidate)
        await here.add_remote_candidate(None)
        here.remote_username, here.remote_password = there.local_username, there.local_password
    await asyncio.gather(world.on("alice", one.connect()), world.on("dave", two.connect()))
    await one.send(b"hello")
    heard = await two.recv()
    pair = two._nominated[1]
    await one.close()
    await two.close()
    return heard.decode(), pair.remote_candidate.host


@pytest.mark.parametrize("debug", [False, True])
def test_aioice_connects_through_two_nats(monkeypatch: pytest.MonkeyPatch, debug: bool) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", current_ipv4_addresses)
    topology = two_homes(Nat(), Nat(ports=PortPolicy.RANDOM, port_range=(10000, 20000)))
    assert sim.run(topology, connect_with_aioice, debug=debug) == ("hello", "203.0.113.100")


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data.upper(), addr)


class Ask(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        self.answer.set_exception(exc)


async def ask(world: sim.SimWorld, remote: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    with world.as_host("alice"):
        transport, protocol = await loop.create_datagram_endpoint(Ask, remote_addr=remote)
    transport.sendto(b"hello")
    try:
        return await protocol.answer
    finally:
        transport.close()


def test_a_connected_socket_reaches_a_host_by_name() -> None:
    async def main(world: sim.SimWorld) -> bytes:
        loop = asyncio.get_running_loop()
        with world.as_host("bob"):
            await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 7))
        return await ask(world, ("bob", 7))

    assert sim.run(behind(Nat()), main) == b"HELLO"


def test_a_connected_socket_hears_that_the_port_is_closed() -> None:
    async def main(world: sim.SimWorld) -> None:
        with pytest.raises(ConnectionRefusedError):
            await ask(world, ("bob", 7))

    sim.run(behind(Nat()), main)


def test_a_socket_on_no_host_is_an_error_that_says_how_to_choose_one() -> None:
    async def main(world: sim.SimWorld) -> None:
        with pytest.raises(UsageError, match="as_host"):
            await asyncio.get_running_loop().create_datagram_endpoint(Echo)

    sim.run(behind(None), main)


def test_a_real_socket_is_refused() -> None:
    async def main(world: sim.SimWorld) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as real, pytest.raises(Unsupported):
            await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=real)

    sim.run(behind(None), main)


def test_a_taken_port_is_an_oserror_as_asyncio_expects() -> None:
    async def main(world: sim.SimWorld) -> None:
        loop = asyncio.get_running_loop()
        with world.as_host("bob"):
            await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 7))
            with pytest.raises(OSError, match="in use"):
                await loop.create_datagram_endpoint(Echo, local_addr=("203.0.113.50", 7))

    sim.run(behind(None), main)


def test_names_resolve_to_the_topologys_addresses() -> None:
    async def main(world: sim.SimWorld) -> None:
        loop = asyncio.get_running_loop()
        with world.as_host("alice"):
            found = await loop.getaddrinfo("stun2", 3478, family=socket.AF_INET6)
            assert [info[4] for info in found] == [("2001:db8::20", 3478, 0, 0)]
            with pytest.raises(socket.gaierror, match="nobody"):
                await loop.getaddrinfo("nobody", 3478)
        assert await world.network("alice").resolve("bob", Family.IPV4) == ("203.0.113.50",)

    sim.run(behind(None), main)


def test_the_host_follows_tasks_and_callbacks() -> None:
    async def main(world: sim.SimWorld) -> None:
        async def whoami() -> str | None:
            return current_network().source_for(TransportAddress("203.0.113.50", 1))

        with world.as_host("alice"):
            task = asyncio.create_task(whoami())
        with world.as_host("carol"):
            assert await task == "10.0.1.2"
            assert await world.on("alice", whoami()) == "10.0.1.2"
            assert await whoami() == "10.0.1.3"

    sim.run(behind(Nat()), main)


def test_a_closed_transport_frees_its_port_and_tells_its_protocol() -> None:
    class Closing(Echo):
        lost = False

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost = True

    async def main(world: sim.SimWorld) -> None:
        loop = asyncio.get_running_loop()
        with world.as_host("bob"):
            for _ in range(2):
                transport, protocol = await loop.create_datagram_endpoint(
                    Closing, local_addr=("203.0.113.50", 7)
                )
                assert transport.get_extra_info("sockname") == ("203.0.113.50", 7)
                assert not transport.is_closing()
                transport.close()
                assert transport.is_closing()
                await asyncio.sleep(0)
                assert protocol.lost

    sim.run(behind(None), main)


def test_a_connected_socket_sends_to_nobody_else_and_hears_nobody_else() -> None:
    async def main(world: sim.SimWorld) -> None:
        loop = asyncio.get_running_loop()
        with world.as_host("bob"):
            await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 7))
            stranger, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("0.0.0.0", 8)
            )
        with world.as_host("carol"):
            transport, protocol = await loop.create_datagram_endpoint(
                Ask, remote_addr=("203.0.113.50", 7)
            )
        stranger.sendto(b"psst", transport.get_extra_info("sockname"))
        await asyncio.sleep(1)
        assert not protocol.answer.done()
        with pytest.raises(ValueError, match="connected to"):
            transport.sendto(b"", ("203.0.113.50", 8))
        assert transport.get_extra_info("peername") == ("203.0.113.50", 7)
        transport.sendto(b"hello")
        assert await protocol.answer == b"HELLO"

    sim.run(behind(None), main)


def test_blocking_code_runs_at_once_and_its_errors_come_out() -> None:
    async def main(world: sim.SimWorld) -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 7, 0)

    sim.run(behind(None), main)
