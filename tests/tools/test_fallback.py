"""STUN over TCP and TLS: what gets through, and how TCP is mapped."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
import trustme

from natkit.aio.network import SocketNetwork
from natkit.aio.streams import SocketStreamEndpoint
from natkit.aio.stun_stream import answer_stream
from natkit.errors import NetworkUnreachable
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, Scenario, behind
from natkit.lab.sim import SimWorld
from natkit.lab.topology import Nat, Pooling
from natkit.machine import Seconds
from natkit.nat.behaviour import Filtering, Mapping, Status
from natkit.network import StreamEndpoint, Tls
from natkit.tools.fallback import FallbackReport, find_fallback
from natkit.wire import Message, TransportAddress, XorMappedAddress

STUN = TransportAddress("203.0.113.10", 3478)
STUN_443 = TransportAddress("203.0.113.10", 443)
STUN_PORT2 = TransportAddress("203.0.113.10", 3479)
STUN_IP2 = TransportAddress("203.0.113.11", 3478)
ALL = (STUN, STUN_443, STUN_PORT2, STUN_IP2)


async def answer(stream: StreamEndpoint) -> None:
    """Serve Binding on one connection, a byte at a time at first."""
    request = Message.decode(await stream.read())
    reply = request.success(XorMappedAddress(stream.remote)).encode()
    await stream.write(reply[:1])
    await stream.write(reply[1:])
    await stream.read()
    await stream.close()


def look(
    scenario: Scenario,
    *,
    seed: int = 0,
    first: TransportAddress = STUN,
    listening: Sequence[TransportAddress] = ALL,
    others: Sequence[TransportAddress] = (STUN_PORT2, STUN_IP2),
    interface: str | None = None,
) -> tuple[FallbackReport, Seconds]:
    async def main(world: SimWorld) -> tuple[FallbackReport, Seconds]:
        for address in listening:
            await world.network("stun").listen_stream(answer, local=address)
        alice = world.network("alice")
        began = alice.now()
        report = await find_fallback(
            alice,
            [("stun", first), *(("another", to) for to in others)],
            interface=interface,
            randomness=Random(1).randbytes,
            budget=2.0,
        )
        return report, alice.now() - began

    return sim.run(scenario.topology, main, seed=seed)


@pytest.mark.parametrize("name", [n for n, s in SCENARIOS.items() if s.truth.mapping is not None])
def test_tcp_is_mapped_as_the_nat_maps(name: str) -> None:
    report, _ = look(SCENARIOS[name])
    assert report.tcp_mapping.value is SCENARIOS[name].truth.mapping


POOLED = Nat(
    Mapping.ADDRESS_AND_PORT_DEPENDENT,
    Filtering.ADDRESS_AND_PORT_DEPENDENT,
    pool=("203.0.113.100", "203.0.113.101"),
    pooling=Pooling.ARBITRARY,
)
"""It keeps the port, so two connections look alike whenever they get the same address."""


@pytest.mark.parametrize("targets", [ALL, (STUN, STUN_IP2)], ids=["four", "two"])
def test_chance_agreement_in_a_pool_is_not_taken_for_independence(
    targets: Sequence[TransportAddress],
) -> None:
    scenario = replace(SCENARIOS["home"], topology=behind(POOLED))
    for seed in range(20):
        report, _ = look(scenario, seed=seed, listening=targets)
        assert report.tcp_mapping.value is not Mapping.ENDPOINT_INDEPENDENT, seed


def test_a_pool_of_an_independent_nat_is_seen_through() -> None:
    independent = replace(POOLED, mapping=Mapping.ENDPOINT_INDEPENDENT)
    report, _ = look(replace(SCENARIOS["home"], topology=behind(independent)))
    assert report.tcp_mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert report.tcp_mapping.reason == "12 of 12 sockets agree"


def test_where_connections_fail_the_mapping_is_told_from_those_that_came_about() -> None:
    told = []
    for name in ("home", "symmetric"):
        scenario = SCENARIOS[name].with_loss(0.1)
        found = [look(scenario, seed=seed)[0].tcp_mapping.value for seed in range(20)]
        assert set(found) <= {None, scenario.truth.mapping}
        told += [value for value in found if value is not None]
    assert len(told) >= 20


def test_a_first_server_that_is_away_hides_nothing() -> None:
    away = TransportAddress("203.0.113.222", 3478)
    report, took = look(SCENARIOS["home"], first=away, others=(STUN, STUN_PORT2, STUN_IP2))
    assert report.tcp.value == (3478, 3479, 443)
    assert report.tcp.reason == "answered by 203.0.113.10, 203.0.113.11"
    assert report.tcp_mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert took < 6.0


def test_no_more_than_six_servers_are_asked() -> None:
    others = [TransportAddress(f"203.0.113.{n}", 3478) for n in range(200, 220)]
    report, _ = look(SCENARIOS["home"], others=others)
    tried = {line.split()[1] for line in report.tcp.evidence}
    assert len(tried) == 6 + 2 * 3


def test_only_ports_that_answered_are_named() -> None:
    report, _ = look(SCENARIOS["home"])
    assert report.tcp.value == (3478, 3479, 443)
    silent = [line.split()[1] for line in report.tcp.evidence if "answered" not in line]
    assert silent == ["203.0.113.10:80:", "203.0.113.11:80:", "203.0.113.11:443:"]
    assert report.tcp.reason == "answered by 203.0.113.10, 203.0.113.11"


def test_where_udp_is_blocked_tcp_443_comes_through() -> None:
    report, took = look(SCENARIOS["udp-blocked"])
    assert report.tcp.value == (443,)
    assert took < 4.5


def test_one_server_address_does_not_tell_how_tcp_is_mapped() -> None:
    report, _ = look(SCENARIOS["home"], others=())
    assert report.tcp_mapping.status is Status.NOT_MEASURED
    assert report.tcp_mapping.reason == "needs STUN over TCP on two addresses"


def test_two_addresses_with_one_port_leave_it_open_what_a_symmetric_nat_looks_at() -> None:
    report, _ = look(SCENARIOS["symmetric"], listening=(STUN, STUN_IP2), others=(STUN_IP2,))
    assert report.tcp_mapping.status is Status.INCONCLUSIVE
    assert "depends on the destination" in report.tcp_mapping.reason


def test_a_server_without_tcp_is_no_proof_against_tcp() -> None:
    report, _ = look(SCENARIOS["home"], listening=())
    assert report.tcp.status is Status.INCONCLUSIVE
    assert report.tcp.value is None
    assert report.tcp_mapping.reason == "no server answered STUN over TCP"


def test_connections_leave_from_the_chosen_interface() -> None:
    assert look(SCENARIOS["home"], interface="eth0")[0].tcp.value == (3478, 3479, 443)
    report, _ = look(SCENARIOS["home"], interface="lan")
    assert report.tcp.status is Status.NOT_MEASURED
    assert report.tcp.reason == "lan has no address to reach 203.0.113.10 from"


def test_the_simulator_has_no_tls() -> None:
    report, _ = look(SCENARIOS["home"])
    assert report.tls.status is Status.NOT_MEASURED
    assert "TLS" in report.tls.reason


def test_servers_of_the_other_ip_version_are_left_out() -> None:
    other = TransportAddress("2001:db8::10", 3478)
    report, _ = look(SCENARIOS["home"], others=(other,))
    assert not any("2001" in line for line in report.tcp_mapping.evidence)


# -- on loopback ----------------------------------------------------------------------------------


class Redirected(SocketNetwork):
    """Sends what goes to a well-known port to where a test listens instead."""

    def __init__(self, ports: dict[int, int]) -> None:
        super().__init__()
        self._ports = ports

    async def open_stream(
        self,
        remote: TransportAddress,
        *,
        tls: Tls | None = None,
        local: TransportAddress | None = None,
        patience: Seconds = 5.0,
    ) -> SocketStreamEndpoint:
        port = self._ports.get(remote.port)
        if port is None:
            raise NetworkUnreachable(f"cannot connect to {remote}", why="the test says so")
        there = TransportAddress(remote.ip, port)
        return await super().open_stream(there, tls=tls, local=local, patience=patience)


@pytest.fixture(scope="module")
def certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("stun.example.org").configure_cert(context)
    return context


async def on_loopback(ports: dict[int, int]) -> FallbackReport:
    return await find_fallback(
        Redirected(ports),
        [("another.example.org", TransportAddress("127.0.0.1", 3478))],
        randomness=Random(1).randbytes,
        budget=0.3,
    )


async def test_tls_counts_whatever_its_certificate_says(certificate: ssl.SSLContext) -> None:
    here = TransportAddress("127.0.0.1", 0)
    listener = await SocketNetwork().listen_stream(answer_stream, local=here, tls=certificate)
    try:
        report = await on_loopback({5349: listener.local.port})
    finally:
        await listener.stop()
    assert report.tls.value == (5349,)
    assert report.tcp.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x01\x01\x00\x00" + bytes(16),
        b"\x01\x01\xff\xff" + bytes(30),
    ],
    ids=["a web server", "closed at once", "another transaction", "cut off"],
)
async def test_a_port_that_speaks_something_else_is_open_but_no_stun(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        report = await on_loopback({443: server.sockets[0].getsockname()[1]})
    assert report.tcp.status is Status.INCONCLUSIVE
    assert report.tcp.reason == "TCP connects, but nothing there speaks STUN"
    assert "connected, but no STUN" in report.tcp.evidence[2]


async def test_a_port_that_says_nothing_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        report = await on_loopback({3478: server.sockets[0].getsockname()[1]})
    assert "no answer in 0.3 s" in report.tcp.evidence[0]


async def test_an_error_response_gives_its_reason() -> None:
    async def serve(stream: StreamEndpoint) -> None:
        request = Message.decode(await stream.read())
        await stream.write(request.error(500, "Server Error").encode())
        await stream.read()

    here = TransportAddress("127.0.0.1", 0)
    listener = await SocketNetwork().listen_stream(serve, local=here)
    try:
        report = await on_loopback({3478: listener.local.port})
    finally:
        await listener.stop()
    assert "connected, but STUN failed: " in report.tcp.evidence[0]


async def test_a_refusal_is_called_one() -> None:
    report = await on_loopback({80: 9})
    assert report.tcp.evidence[1] == "TCP 127.0.0.1:80: refused"
