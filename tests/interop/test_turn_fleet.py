"""Servers that share a secret are one fleet: a client of one is at home at the next."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_client import RelayedEndpoint, allocate
from natkit.aio.turn_failure import Server
from natkit.network import IcmpError
from natkit.turn.client_auth import Login
from natkit.turn.credentials import rest_password, rest_username
from natkit.wire import (
    AlternateServer,
    ChannelData,
    Lifetime,
    Method,
    Nonce,
    TransportAddress,
)
from tests.turnkit import UDP, Peer, RawClient, error_of
from tests.turnserver import SECRET, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

CHANNEL = 0x4000
IPS = ("127.0.0.1",)


def minted() -> tuple[str, str]:
    """Return a name that the application has just made, and its password."""
    name = rest_username("alice", expires=int(time.time()) + 600)
    return name, rest_password(SECRET, name)


@contextlib.contextmanager
def member(
    where: Path,
    *words: str,
    secret: str = SECRET,
    ips: Sequence[str] = IPS,
    relay: Sequence[str] = (),
) -> Iterator[TurnUnderTest]:
    where.mkdir()
    words = ("--secret", secret, "--secret", SECRET, *words)
    allow = ["127.0.0.0/30"]
    with turn_server(
        where, *words, ips=ips, relay=relay, users=(), allow=allow, program="natkit"
    ) as server:
        yield server


def moved(client: RawClient, to: TurnUnderTest) -> RawClient:
    """Return the client at another server, with all that it has: as browsers go on after a 300."""
    if client.transport == "udp":
        client.socket.connect((to.ip, to.port))
        return client
    there = RawClient(to, client.transport, source=client.local.ip)
    there.realm, there.nonce = client.realm, client.nonce
    there.user, there.key = client.user, client.key
    return there


def drain(server: TurnUnderTest) -> None:
    os.kill(server.process.pid, signal.SIGTERM)
    for _ in range(200):
        if "draining" in server.log.read_text():
            return
        time.sleep(0.05)
    pytest.fail(server.log.read_text())


def carries(client: RawClient, peer: Peer, relayed: TransportAddress) -> bool:
    client.send_on(CHANNEL, b"there")
    there = peer.receive()
    peer.send(b"back", relayed)
    back = ChannelData.decode(client.receive())
    return (there, back) == ((b"there", relayed), ChannelData(CHANNEL, b"back"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nonce_of_one_server_is_good_at_the_other(tmp_path: Path, transport: str) -> None:
    with member(tmp_path / "a") as a, member(tmp_path / "b") as b, RawClient(a, transport) as here:
        here.log_in(minted())
        with moved(here, b) as there:
            assert there.code(Method.ALLOCATE, UDP) is None


def test_nonce_of_another_first_secret_is_stale(tmp_path: Path) -> None:
    with (
        member(tmp_path / "a") as a,
        member(tmp_path / "b", secret="of-another-fleet") as b,
        RawClient(a) as client,
    ):
        client.log_in(minted())
        assert moved(client, b).code(Method.ALLOCATE, UDP) == 438


def test_draining_server_sends_clients_to_the_other_and_keeps_its_calls(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(member(tmp_path / "b"))
        a = stack.enter_context(member(tmp_path / "a", "--alternate-server", str(b.address)))
        calling, late = stack.enter_context(RawClient(a)), stack.enter_context(RawClient(a))
        peer = stack.enter_context(Peer())
        relayed = calling.log_in(minted()).allocate()
        calling.bind(CHANNEL, peer.address)
        late.log_in(minted())
        drain(a)
        refused = late.call(Method.ALLOCATE, UDP)
        assert error_of(refused) == 300
        assert refused.find(AlternateServer) == AlternateServer(b.address)
        assert moved(late, b).code(Method.ALLOCATE, UDP) is None
        assert calling.code(Method.REFRESH) is None
        assert carries(calling, peer, relayed)
        assert a.process.poll() is None
        assert calling.code(Method.REFRESH, Lifetime(0)) is None
        assert a.process.wait(10) == 0
        assert late.code(Method.REFRESH) is None


def test_client_whom_a_nat_gives_another_port_at_the_other_server_is_at_home_there(
    tmp_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(member(tmp_path / "b"))
        a = stack.enter_context(member(tmp_path / "a", "--alternate-server", str(b.address)))
        calling, late = stack.enter_context(RawClient(a)), stack.enter_context(RawClient(a))
        calling.log_in(minted()).allocate()
        late.log_in(minted())
        drain(a)
        nonce = late.call(Method.ALLOCATE, UDP).find(Nonce)
        assert nonce is not None
        there = stack.enter_context(RawClient(b, source=late.local.ip))
        there.realm, there.nonce, there.user, there.key = (
            late.realm,
            late.nonce,
            late.user,
            late.key,
        )
        assert there.code(Method.ALLOCATE, UDP) == 438
        there.nonce = nonce.text
        assert there.code(Method.ALLOCATE, UDP) is None


def test_call_that_goes_on_for_longer_than_the_drain_time_is_ended(tmp_path: Path) -> None:
    with member(tmp_path / "a", "--drain-time", "2s") as a, RawClient(a) as calling:
        calling.log_in(minted()).allocate()
        began = time.monotonic()
        drain(a)
        assert calling.code(Method.REFRESH) is None
        assert a.process.wait(15) == 0
        assert time.monotonic() - began >= 2
        assert "allocation ended" in a.log.read_text()


class Deaf:
    """Hears what a relay hears, and does nothing."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        pass

    def error_received(self, error: IcmpError) -> None:
        pass


async def relayed_from(server: TransportAddress) -> tuple[TransportAddress, TransportAddress]:
    """Return which server our client ends up at, and what it relays from there."""
    relay = await allocate(
        SocketNetwork(), Server(server), Login(*minted()), Deaf(), randomness=secrets.token_bytes
    )
    assert isinstance(relay, RelayedEndpoint), relay
    await relay.close_and_wait()
    return relay.server.address, relay.local


async def test_our_client_goes_where_a_draining_server_sends_it(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(member(tmp_path / "b"))
        a = stack.enter_context(member(tmp_path / "a", "--alternate-server", str(b.address)))
        stack.enter_context(RawClient(a)).log_in(minted()).allocate()
        drain(a)
        assert (await relayed_from(a.address))[0] == b.address


async def test_our_client_goes_from_an_anycast_address_to_the_servers_own(tmp_path: Path) -> None:
    shared, own = "127.0.0.1", "127.0.0.2"
    words = ("--anycast", f"{shared}={own}")
    with member(tmp_path / "a", *words, ips=[shared, own], relay=[own]) as server:
        at, relayed = await relayed_from(TransportAddress(shared, server.port))
        assert at == TransportAddress(own, server.port)
        assert relayed.ip == own
