"""TLS over bytes that somebody else carries.

asyncio's own TLS takes 256 kB a connection before the first byte of the handshake, which a flood of
hellos would turn into the server's memory; this takes what OpenSSL needs.
"""

from __future__ import annotations

import contextlib
import ssl

_CHUNK = 16384  # a TLS record's largest payload (RFC 8446 §5.1)


class TlsSession:
    """The server's side of one TLS connection: bytes in, bytes out.

    Whatever is called, send `outgoing` afterwards.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the connection and return the plaintext in them; None: the client ended it.

        Raises: ssl.SSLError: they make no sense.
        """
        self._incoming.write(data)
        try:
            if not self._established:
                self._tls.do_handshake()
                self._established = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""

    def send(self, data: bytes) -> None:
        """Seal `data`. Raises: ssl.SSLError: not established yet, or broken."""
        self._tls.write(data)

    def end(self) -> None:
        """Say goodbye (close_notify), so that the client knows that nothing was cut off."""
        with contextlib.suppress(ssl.SSLError):  # it waits for the client's own goodbye
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Hand over what is to be sent."""
        return self._outgoing.read()

    def _read(self) -> bytes | None:
        plain = bytearray()
        try:
            while chunk := self._tls.read(_CHUNK):
                plain += chunk
        except ssl.SSLWantReadError:
            return bytes(plain)
        return bytes(plain) or None  # nothing more will come: close_notify


def server_context() -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later that knows STUN's and TURN's ALPN (RFC 7443)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["stun.turn", "stun.nat-discovery"])
    return context
