"""TCP and TLS connections behind the `StreamEndpoint` seam."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from natkit.aio.sockaddr import Scopes
from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import Tls
from natkit.wire import TransportAddress

TLS_GOODBYE: Seconds = 1.0
"""How long to wait for the other end's close_notify; it brings nothing that we want."""


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return a TLS 1.2+ client context that believes whom `tls` says.

    Raises: NetworkUnreachable: the CA file cannot be read.
    """
    context = ssl.create_default_context()
    if tls.ca_file is not None:
        try:
            context.load_verify_locations(tls.ca_file)
        except OSError as error:
            raise NetworkUnreachable(
                f"cannot use the CA file {tls.ca_file}",
                why=str(error),
                hint="It must hold certificates in PEM form",
            ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class SocketStreamEndpoint:
    """One connected stream, as asyncio's reader and writer."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scopes: Scopes
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._local = scopes.from_socket(writer.get_extra_info("sockname"))
        self._remote = scopes.from_socket(writer.get_extra_info("peername"))

    @property
    def local(self) -> TransportAddress:
        """The local address of the connection."""
        return self._local

    @property
    def remote(self) -> TransportAddress:
        """The other end's address."""
        return self._remote

    async def read(self, limit: int = 65536) -> bytes:
        """Return 1 .. `limit` bytes as they come, b"" at the end, however it came."""
        try:
            return await self._reader.read(limit)
        except OSError:  # a reset, or TLS that stopped making sense
            return b""

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the other end takes nothing.

        Raises: NetworkUnreachable: the connection is gone.
        """
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise NetworkUnreachable(
                f"lost the connection to {self._remote}", why=str(error)
            ) from None

    async def close(self) -> None:
        """Close the stream. Closing twice is harmless."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
