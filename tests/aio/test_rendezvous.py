"""A rendezvous on loopback: two meet over it; who is slow, loud or many gets nowhere."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme

from natkit.aio import listener, rendezvous_server
from natkit.aio.network import SocketNetwork
from natkit.aio.rendezvous import Meeting, PeerLeft, Rendezvous
from natkit.aio.rendezvous_server import RendezvousServer
from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable, UsageError
from natkit.network import StreamEndpoint
from natkit.rendezvous.code import Code
from natkit.rendezvous.description import Description
from natkit.rendezvous.http import ROOMS, HttpMessage, request
from natkit.rendezvous.rooms import DEFAULTS, Limits
from natkit.tools.rendezvous_serve import serve
from natkit.wire import TransportAddress

NETWORK = SocketNetwork()
LOOPBACK = TransportAddress("127.0.0.1", 0)
ROOM, TOKEN = "a" * 32, "b" * 32


@pytest.fixture(scope="module", autouse=True)
def codes_are_derived_once() -> Iterator[None]:
    """A code's room and key cost 50 ms each time, so that guessing does, too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Code, "secrets", functools.cache(Code.secrets))
        yield


def code(number: int = 0) -> Code:
    return Code.draw(lambda size: number.to_bytes(size, "big"))


@asynccontextmanager
async def rendezvous(limits: Limits = DEFAULTS) -> AsyncIterator[Rendezvous]:
    server = RendezvousServer(NETWORK, limits)
    door = await NETWORK.listen_stream(server.serve, local=LOOPBACK)
    try:
        yield Rendezvous("127.0.0.1", door.local.port)
    finally:
        await door.stop()


async def hosted(where: Rendezvous, of: Code) -> Meeting:
    return await Meeting.host(NETWORK, where, of, secrets.token_bytes)


async def joined(where: Rendezvous, of: Code) -> Meeting:
    return await Meeting.join(NETWORK, where, of, secrets.token_bytes)


async def post(where: Rendezvous, verb: str, body: bytes = b"", token: str = TOKEN) -> HttpMessage:
    return await where.post(NETWORK, f"{ROOMS}{ROOM}/{verb}", token, body)


async def raw(where: Rendezvous, data: bytes) -> bytes:
    """Send anything, and return all that comes back."""
    stream = await NETWORK.open_stream(TransportAddress(where.host, where.port))
    try:
        await stream.write(data)
        reply = b""
        while more := await stream.read():
            reply += more
        return reply
    finally:
        await stream.close()


def part(number: int) -> Description:
    return Description(number, "abcd", None, ("x",))


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Events: somebody waits for news; and somebody no longer does."""
    waits, ended, original = asyncio.Event(), asyncio.Event(), rendezvous_server._closes

    async def closes(stream: StreamEndpoint, bell: asyncio.Event, patience: float) -> bool:
        waits.set()
        try:
            return await original(stream, bell, patience)
        finally:
            ended.set()

    monkeypatch.setattr(rendezvous_server, "_closes", closes)
    return waits, ended


# Meeting.


async def test_two_meet_and_tell_each_other_something():
    async with rendezvous() as where:
        of = code()
        host = await hosted(where, of)
        arrival = asyncio.ensure_future(host.arrival())
        guest = await joined(where, of)
        async with asyncio.timeout(5):
            await arrival
            await asyncio.gather(host.tell(part(0)), host.tell(part(1)), guest.tell(part(7)))
            assert [await guest.hear(), await guest.hear()] == [part(0), part(1)]
            assert await host.hear() == part(7)
        assert host.password("abcd") == guest.password("abcd")
        await asyncio.gather(host.close(), guest.close())


async def test_a_message_is_told_at_once_to_who_waits(polls):
    async with rendezvous() as where:
        of = code()
        host, guest = await hosted(where, of), await joined(where, of)
        hearing = asyncio.ensure_future(guest.hear())
        async with asyncio.timeout(5):
            await polls[0].wait()
            await host.tell(part(0))
            assert await hearing == part(0)


async def test_leaving_is_told_at_once_after_the_last_message():
    async with rendezvous() as where:
        of = code()
        host, guest = await hosted(where, of), await joined(where, of)
        await host.tell(part(0))
        await host.close()
        async with asyncio.timeout(5):
            assert await guest.hear() == part(0)
            with pytest.raises(PeerLeft, match="has left"):
                await guest.hear()
            with pytest.raises(PeerLeft):
                await guest.tell(part(0))


async def test_nobody_waits_under_a_wrong_code():
    async with rendezvous() as where:
        await hosted(where, code())
        with pytest.raises(AuthenticationFailed, match="nobody waits") as refused:
            await joined(where, code(1))
        assert "natkit connect" in str(refused.value.hint)


async def test_a_third_is_told_that_two_are_there_and_disturbs_nobody():
    async with rendezvous() as where:
        of = code()
        host, guest = await hosted(where, of), await joined(where, of)
        with pytest.raises(AuthenticationFailed, match="two are using this code"):
            await joined(where, of)
        await host.tell(part(0))
        assert await guest.hear() == part(0)


async def test_an_expired_code_is_called_that():
    async with rendezvous(Limits(to_join=0.0)) as where:
        of = code()
        host = await hosted(where, of)
        with pytest.raises(AuthenticationFailed, match="expired"):
            await joined(where, of)
        with pytest.raises(AuthenticationFailed, match="expired"):
            await host.arrival()


async def test_a_rendezvous_that_changes_a_message_is_caught(monkeypatch: pytest.MonkeyPatch):
    told = rendezvous_server._told
    monkeypatch.setattr(
        rendezvous_server, "_told", lambda heard: told(heard).replace(b"abcd", b"evil")
    )
    async with rendezvous() as where:
        of = code()
        host, guest = await hosted(where, of), await joined(where, of)
        await host.tell(part(0))
        with pytest.raises(AuthenticationFailed, match="knows the code"):
            await guest.hear()


async def test_https_is_believed_by_who_knows_its_authority(tmp_path: Path):
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    service = await serve(NETWORK, [LOOPBACK], tls=tls)
    try:
        url = f"https://localhost:{service.listening[0].port}"
        await hosted(Rendezvous.parse(url, ca_file=str(file)), code())
        with pytest.raises(NetworkUnreachable, match="cannot be reached"):
            await hosted(Rendezvous.parse(url), code())
    finally:
        await service.close()


async def test_a_rendezvous_that_is_not_there_is_named():
    async with rendezvous() as where:
        pass
    with pytest.raises(NetworkUnreachable, match=f"{where} cannot be reached") as error:
        await hosted(where, code())
    assert "natkit rendezvous serve" in str(error.value.hint)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_rendezvous_is_called_that(reply: bytes):
    async def answer(stream: StreamEndpoint) -> None:
        await stream.read()
        await stream.write(reply)

    other = await NETWORK.listen_stream(answer, local=LOOPBACK)
    try:
        with pytest.raises(NatkitError, match="rendezvous"):
            await hosted(Rendezvous("127.0.0.1", other.local.port), code())
    finally:
        await other.stop()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.org", "http://example.org:7478"),
        ("example.org", "http://example.org:7478"),
        ("example.org:80", "http://example.org:80"),
        ("https://example.org", "https://example.org:443"),
        ("http://[2001:db8::1]:81/under/", "http://[2001:db8::1]:81/under"),
    ],
)
def test_urls_are_read(url: str, expected: str):
    assert str(Rendezvous.parse(url)) == expected


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://x:99999", "http://[::1", "http://x/?q=1"]
)
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(UsageError):
        Rendezvous.parse(url)


# Attacks.


async def test_who_begins_tls_and_says_nothing_is_shown_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "HANDSHAKE", 0.1)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(tls)
    service = await serve(NETWORK, [LOOPBACK], tls=tls)
    try:
        stream = await NETWORK.open_stream(service.listening[0])
        async with asyncio.timeout(5):
            assert await stream.read() == b""
        await stream.close()
    finally:
        await service.close()


async def test_who_sends_nothing_is_shown_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "_PATIENCE", 0.1)
    async with rendezvous() as where:
        stream = await NETWORK.open_stream(TransportAddress(where.host, where.port))
        async with asyncio.timeout(5):
            assert await stream.read() == b""
        await stream.close()


async def test_who_sends_a_byte_now_and_then_is_shown_out(monkeypatch: pytest.MonkeyPatch):
    """Each byte must not buy more time."""
    monkeypatch.setattr(rendezvous_server, "_PATIENCE", 0.2)
    async with rendezvous() as where:
        stream = await NETWORK.open_stream(TransportAddress(where.host, where.port))
        ended = asyncio.ensure_future(stream.read())
        async with asyncio.timeout(5):
            while not ended.done():
                try:
                    await stream.write(b"x")
                except NetworkUnreachable:
                    break
                await asyncio.wait({ended}, timeout=0.02)
            assert await ended == b""
        await stream.close()


async def test_a_crowd_of_slow_ones_from_one_address_leaves_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "_CONNECTIONS_PER_SOURCE", 3)
    async with rendezvous() as where:
        at = TransportAddress(where.host, where.port)
        slow = [await NETWORK.open_stream(at) for _ in range(3)]
        with pytest.raises(NetworkUnreachable):  # from there; others have their own three
            await post(where, "open")
        for stream in slow:
            await stream.close()
        async with asyncio.timeout(5):
            while (reply := await tried(where)) is None:
                pass  # the server has not noticed yet
        assert reply.start[1] == "200"


async def tried(where: Rendezvous) -> HttpMessage | None:
    try:
        return await post(where, "open")
    except NetworkUnreachable:
        return None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("x", f"{ROOMS}{ROOM}/say?n=0", TOKEN, b"x" * 8193), b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"x" * 5000, b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET " + ROOMS.encode() + b"a" * 32 + b"/open HTTP/1.1\r\n\r\n", b"405"),
        (request("x", f"{ROOMS}{ROOM}/open", "short", b""), b"400"),
        (request("x", f"{ROOMS}{ROOM}/hear", TOKEN, b""), b"400"),
        (request("x", f"{ROOMS}{ROOM}/say?n=-1", TOKEN, b"x"), b"400"),
        (request("x", f"{ROOMS}{ROOM}/say?n=0", TOKEN, b"\xff"), b"400"),
        (request("x", f"{ROOMS}short/open", TOKEN, b""), b"404"),
        (request("x", "/natkit/1/rooms/../../etc/passwd", TOKEN, b""), b"404"),
        (b"GET / HTTP/1.1\r\n\r\n", b"200"),
    ],
    ids=lambda value: repr(value[:40]),
)
async def test_odd_requests_are_refused_by_name(data: bytes, status: bytes):
    async with rendezvous() as where:
        async with asyncio.timeout(5):
            assert (await raw(where, data)).split(b" ")[1] == status


async def test_flood_of_rooms_is_refused():
    async with rendezvous() as where:
        for number in range(10):
            path = f"{ROOMS}{number:032x}/open"
            assert (await where.post(NETWORK, path, TOKEN, b"")).start[1] == "200"
        assert (await post(where, "open")).start[1] == "503"
        with pytest.raises(NetworkUnreachable, match="no room left"):
            await hosted(where, code())


async def test_guessing_is_slowed_down(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "_ENTRIES_PER_MINUTE", 5)
    async with rendezvous() as where:
        statuses = [(await post(where, "join")).start[1] for _ in range(7)]
        assert statuses == ["404"] * 5 + ["429"] * 2
        with pytest.raises(NetworkUnreachable, match="fewer requests"):
            await joined(where, code())


async def test_requests_of_one_source_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "_REQUESTS_PER_MINUTE", 3)
    async with rendezvous() as where:
        statuses = [(await post(where, "hear?after=0")).start[1] for _ in range(4)]
        assert statuses == ["404", "404", "404", "429"]


async def test_who_hangs_up_while_it_waits_leaves_nothing_behind(polls):
    """Abandoned polls would fill the connections that one source has."""
    async with rendezvous() as where:
        await post(where, "open")
        stream = await NETWORK.open_stream(TransportAddress(where.host, where.port))
        await stream.write(request("x", f"{ROOMS}{ROOM}/hear?after=0&peer=awaited", TOKEN, b""))
        async with asyncio.timeout(5):
            await polls[0].wait()
            await stream.close()
            await polls[1].wait()


async def test_a_poll_ends_after_a_while_with_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendezvous_server, "POLL", 0.05)
    async with rendezvous() as where:
        await post(where, "open")
        reply = await post(where, "hear?after=0&peer=awaited")
        assert json.loads(reply.body) == {"peer": "awaited", "messages": []}
