"""SHA-256 and USERHASH (RFC 8489 §9.2) as they go over real sockets: our client's, and libjuice's.

libjuice, inside libdatachannel, is the one TURN client of others on the index that knows them. It
names its user by USERHASH. SHA-256 it cannot choose: it reads PASSWORD-ALGORITHMS in requests
alone (stun_read_attr in its stun.c), never in the 401 that offers them, and so signs as for MD5.
What others have of SHA-256 beside it is RFC 8489's vector (wire/test_vectors.py).
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from typing import cast

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_client import RelayedEndpoint
from natkit.aio.turn_failure import Server
from natkit.tools.turn_path import Inbox
from natkit.turn.client_auth import Login
from natkit.turn.forwarding import Transport
from natkit.wire import (
    Integrity,
    Message,
    MessageClass,
    Method,
    PasswordAlgorithm,
    PasswordHash,
    TransportAddress,
    UserHash,
    Username,
    user_hash,
)
from tests.turnserver import REALM, USER, Around, TurnUnderTest

pytestmark = pytest.mark.interop

HASH = user_hash(USER[0], REALM)


class Between(asyncio.DatagramProtocol):
    """A server to clients and a client to the server, which keeps the messages it passes on.

    Attributes:
        requests, answers: STUN messages, in the order in which they came.
    """

    def __init__(self, server: TransportAddress) -> None:
        self.requests: list[Message] = []
        self.answers: list[Message] = []
        self._server = server
        self._beyond: dict[tuple[str, int], asyncio.Future[asyncio.DatagramTransport]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    @property
    def address(self) -> TransportAddress:
        return TransportAddress(*self.transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        keep(data, self.requests)
        task = asyncio.ensure_future(self._pass_on(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, data: bytes, client: tuple[str, int]) -> None:
        if client not in self._beyond:
            self._beyond[client] = asyncio.ensure_future(self._open(client))
        (await self._beyond[client]).sendto(data)

    async def _open(self, client: tuple[str, int]) -> asyncio.DatagramTransport:
        back = Back(self, client)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: back, remote_addr=tuple(self._server)
        )
        return transport

    async def close(self) -> None:
        self.transport.close()
        for beyond in self._beyond.values():
            (await beyond).close()


class Back(asyncio.DatagramProtocol):
    """What the server says to one client."""

    def __init__(self, between: Between, client: tuple[str, int]) -> None:
        self._between = between
        self._client = client

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        keep(data, self._between.answers)
        self._between.transport.sendto(data, self._client)


def keep(data: bytes, messages: list[Message]) -> None:
    if data[0] < 4:
        messages.append(Message.decode(data))


@pytest.fixture
async def between(turn: TurnUnderTest) -> AsyncIterator[Between]:
    _, made = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Between(turn.address), local_addr=(turn.around.peers[0], 0)
    )
    yield made
    await made.close()


def signed(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.integrity is not None]


async def test_our_client_and_server_agree_on_sha256_and_userhash(
    between: Between, around: Around
) -> None:
    inbox, peers = Inbox(), Inbox()
    relay = await RelayedEndpoint.open(
        SocketNetwork(),
        Server(between.address, Transport.UDP, None),
        Login(*USER),
        inbox,
        randomness=secrets.token_bytes,
    )
    peer = await SocketNetwork().open_datagram(peers, local=TransportAddress(around.peers[0], 0))
    await relay.open_channel(peer.local)
    relay.send(b"hello", peer.local)
    assert await peers.wait_for(b"hello", 2.0) == relay.local
    peer.close()
    await relay.close_and_wait()

    requests = signed(between.requests)
    assert {message.method for message in requests} == {
        Method.ALLOCATE,
        Method.CHANNEL_BIND,
        Method.REFRESH,
    }
    for message in requests:
        assert message.integrity is Integrity.SHA256
        assert message.find(PasswordAlgorithm) == PasswordAlgorithm(PasswordHash.SHA256)
        assert message.find(UserHash) == UserHash(HASH)
        assert message.find(Username) is None
    assert {message.integrity for message in signed(between.answers)} == {Integrity.SHA256}


@pytest.mark.skipif(sys.platform != "linux", reason="its wheels are for Linux")
async def test_libjuice_relays_for_a_user_it_names_by_hash(between: Between) -> None:
    pytest.importorskip("pylibdatachannel")
    ip, port = between.address
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.interop.libjuice_pair", ip, str(port), *USER),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        said, _ = await child.communicate()
    assert said.decode().strip().endswith("hello")

    requests = signed(between.requests)
    assert {Method.ALLOCATE, Method.CREATE_PERMISSION} <= {one.method for one in requests}
    for message in requests:
        assert message.find(UserHash) == UserHash(HASH)
        assert message.find(Username) is None
    refused = [one for one in between.answers if one.message_class is MessageClass.ERROR]
    assert {one.method for one in refused} == {Method.ALLOCATE}, "the 401 that begins, no more"
