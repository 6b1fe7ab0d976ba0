"""Clients over DTLS 1.2, by pyOpenSSL (RFC 8656 §3.1, RFC 6347).

Rules of this file:
1. Nothing is kept of a client until its ClientHello has brought back our cookie, an HMAC of its
   address (RFC 6347 §4.2.1): one OpenSSL object answers all first hellos, and becomes the session
   of the first one that proves where it is.
2. OpenSSL's memory BIOs are streams; what it wants sent is cut at records and packed to DATAGRAM.
3. A session without an allocation waits at the same door as connections do.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib
import secrets
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from natkit.aio.turn_door import Doorkeeper, StreamOwner
from natkit.machine import Instant, Seconds
from natkit.turn.forwarding import Path, Transport
from natkit.wire import TransportAddress

DATAGRAM = 1200
"""Bytes of a datagram that fits through every path worth using (RFC 9000 §14 found the same)."""

RETRY: Seconds = 1.0
"""How often unfinished handshakes are looked after: RFC 6347 §4.2.4.1's first timeout."""

_DTLS_1_2 = 0xFEFD  # RFC 6347 §4.1; pyOpenSSL does not name it
_RECORD_HEADER = 13  # bytes (RFC 6347 §4.1)
_HANDSHAKE, _CLIENT_HELLO = 22, 1  # content type, and type within (RFC 5246 §6.2.1, §7.4)
_FIRST_BYTES = range(20, 64)  # RFC 7983 §7


def is_dtls(data: bytes) -> bool:
    """Tell DTLS from STUN and ChannelData by the first byte."""
    return data[0] in _FIRST_BYTES


class DtlsCertificate(NamedTuple):
    """PEM files; `key` is None where it is in the same one."""

    chain: FilePath
    key: FilePath | None


class DtlsPort:
    """Speaks DTLS on listeners that somebody else reads.

    Args:
        owner: takes what the sessions carry.
        send:  sends a datagram to a client from a listener: (data, client, server).
        now:   returns the time.
    Raises: ImportError: pyOpenSSL is not installed.
    """

    def __init__(
        self,
        owner: StreamOwner,
        door: Doorkeeper,
        send: Callable[[bytes, TransportAddress, TransportAddress], None],
        now: Callable[[], Instant],
    ) -> None:
        self._ssl: Any = importlib.import_module("OpenSSL.SSL")
        self._owner = owner
        self._door = door
        self._send = send
        self.now = now
        self._key = secrets.token_bytes(32)
        self._asking = b""
        self._context: Any = None
        self._waiting: Any = None
        self._sessions: dict[tuple[TransportAddress, TransportAddress], DtlsSession] = {}
        self._shaking: set[DtlsSession] = set()
        self._retry_at: Instant | None = None

    def use(self, certificate: DtlsCertificate) -> None:
        """Take a certificate for sessions from now on; that it can be used has been seen."""
        context = self._ssl.Context(self._ssl.DTLS_SERVER_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.use_certificate_chain_file(str(certificate.chain))
        context.use_privatekey_file(str(certificate.key or certificate.chain))
        context.set_options(self._ssl.OP_COOKIE_EXCHANGE | self._ssl.OP_NO_QUERY_MTU)
        context.set_cookie_generate_callback(lambda _: self._cookie())
        context.set_cookie_verify_callback(
            lambda _, cookie: hmac.compare_digest(cookie, self._cookie())
        )
        self._context, self._waiting = context, None

    def receive(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        """Take a datagram that `is_dtls`."""
        session = self._sessions.get((client, server))
        if session is None or (session.established and _is_client_hello(data)):
            self._greet(data, client, server, now)
        else:
            session.receive(data, now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        return self._retry_at

    def tick(self, now: Instant) -> None:
        """Send again what handshakes have lost."""
        if self._retry_at is None or now < self._retry_at:
            return
        for session in list(self._shaking):
            session.retry()
        self._retry_at = now + RETRY if self._shaking else None

    def close(self) -> None:
        """End every session."""
        for session in list(self._sessions.values()):
            session.close()

    def forget(self, session: DtlsSession) -> None:
        """The session has ended."""
        self._shaking.discard(session)
        key = (session.remote, session.local)
        if self._sessions.get(key) is session:
            del self._sessions[key]
            self._owner.stream_closed(session)

    def established(self, session: DtlsSession) -> None:
        """Its handshake is done."""
        self._shaking.discard(session)

    def _greet(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        """Answer a hello with our cookie, or begin a session where it has brought it back."""
        connection = self._waiting or self._connection()
        self._waiting, self._asking = None, f"{client} {server}".encode()
        connection.bio_write(data)
        try:
            connection.DTLSv1_listen()
        except self._ssl.WantReadError:
            for datagram in datagrams(_outgoing(self._ssl, connection)):
                self._send(datagram, client, server)
            self._waiting = connection
            return
        except self._ssl.Error:  # no hello: this object may be out of step
            return
        self._begin(connection, client, server, now)

    def _begin(
        self, connection: Any, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        old = self._sessions.pop((client, server), None)
        if old is not None:
            self._door.forget(old)
            self._owner.stream_closed(old)
        session = DtlsSession(
            self, self._ssl, connection, Path(client, server, Transport.DTLS), self._owner
        )
        session.door, session.emit = self._door, lambda data: self._send(data, client, server)
        if not self._door.let_in(session, client.ip, now):
            return
        self._door.speaks_tls(session)
        self._sessions[client, server] = session
        self._shaking.add(session)
        self._retry_at = self._retry_at or now + RETRY
        session.start(now)

    def _connection(self) -> Any:
        connection = self._ssl.Connection(self._context, None)
        connection.set_accept_state()
        connection.set_ciphertext_mtu(DATAGRAM)
        return connection

    def _cookie(self) -> bytes:
        return hmac.digest(self._key, self._asking, hashlib.sha256)


class DtlsSession:
    """One client's association, behind the face of a `ClientStream`."""

    door: Doorkeeper
    emit: Callable[[bytes], None]

    def __init__(
        self, port: DtlsPort, ssl: Any, connection: Any, path: Path, owner: StreamOwner
    ) -> None:
        self.path: Path | None = path
        self.remote, self.local = path.client, path.server
        self.established = False
        self._port = port
        self._ssl = ssl
        self._connection = connection
        self._owner = owner
        self._forward: Callable[[bytes, Instant], None]

    def start(self, now: Instant) -> None:
        """Go on with the handshake."""
        self._forward = self._owner.stream_ready(self)
        self._advance(now)

    def receive(self, data: bytes, now: Instant) -> None:
        """Take a datagram."""
        self._connection.bio_write(data)
        self._advance(now)

    def retry(self) -> None:
        """Send the last flight again if OpenSSL finds that it is time."""
        with contextlib.suppress(self._ssl.Error):
            self._connection.DTLSv1_handle_timeout()
        self._flush()

    def send(self, data: bytes) -> None:
        """Send a STUN message."""
        self.send_media(data)

    def send_media(self, frame: bytes) -> bool:
        """Send a relayed packet; False: it could not be."""
        try:
            self._connection.send(frame)
        except self._ssl.Error:
            return False
        self._flush()
        return True

    def admit(self) -> None:
        """It has an allocation: it may stay."""
        self.door.forget(self)

    def wait_again(self) -> None:
        """Its allocation has ended: it may make another one, soon."""
        if not self.door.let_in(self, self.remote.ip, self._port.now()):
            self.close()

    def close(self) -> None:
        """End the association, and say so."""
        with contextlib.suppress(self._ssl.Error):
            self._connection.shutdown()
        self._flush()
        self.abort()

    def abort(self) -> None:
        """End the association."""
        self.door.forget(self)
        self._port.forget(self)

    def _advance(self, now: Instant) -> None:
        try:
            if not self.established:
                self._connection.do_handshake()
                self.established = True
                self._port.established(self)
            while True:
                self._take(self._connection.recv(65536), now)
        except self._ssl.WantReadError:
            self._flush()
        except self._ssl.Error:  # it said goodbye, or makes no sense
            self._flush()
            self.abort()

    def _take(self, message: bytes, now: Instant) -> None:
        if len(message) < 4:
            return
        if message[0] < 4:
            self._owner.stream_message(message, self, now)
        elif 0x40 <= message[0] < 0x80:
            self._forward(message, now)

    def _flush(self) -> None:
        for datagram in datagrams(_outgoing(self._ssl, self._connection)):
            self.emit(datagram)


def _outgoing(ssl: Any, connection: Any) -> bytes:
    """Take out all that OpenSSL wants sent."""
    parts = []
    with contextlib.suppress(ssl.WantReadError):
        while True:
            parts.append(connection.bio_read(65536))
    return b"".join(parts)


def datagrams(records: bytes) -> list[bytes]:
    """Pack whole records into datagrams of at most DATAGRAM bytes, where they fit."""
    packed: list[bytes] = []
    while records:
        size = _RECORD_HEADER + int.from_bytes(records[11:_RECORD_HEADER], "big")
        record, records = records[:size], records[size:]
        if packed and len(packed[-1]) + len(record) <= DATAGRAM:
            packed[-1] += record
        else:
            packed.append(record)
    return packed


def _is_client_hello(data: bytes) -> bool:
    """True for an unencrypted one: a client that begins anew from the same port."""
    return (
        len(data) > _RECORD_HEADER
        and data[0] == _HANDSHAKE
        and data[3:5] == b"\x00\x00"
        and data[_RECORD_HEADER] == _CLIENT_HELLO
    )
