"""A page for each of a few paths, over HTTP: metrics and health for who watches the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeAlias

from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.wire import TransportAddress

_PATIENCE: Seconds = 5.0
"""How long a request may take to arrive: it comes from this machine or the next."""

_LONGEST_REQUEST = 8192
"""Bytes: what Prometheus and probes send has some hundred."""

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Page(NamedTuple):
    """What to answer."""

    status: int
    content_type: str
    body: bytes


Pages: TypeAlias = Mapping[str, Callable[[], Awaitable[Page]]]


def plain(status: int, text: str) -> Page:
    """Return a page of text."""
    return Page(status, "text/plain; charset=utf-8", text.encode() + b"\n")


async def serve_pages(pages: Pages, at: TransportAddress) -> asyncio.Server:
    """Answer GET for each path of `pages` on `at`. Raises: NetworkUnreachable: it cannot bind."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            method, _, rest = head.partition(b" ")
            path = rest.split(b" ", 1)[0].split(b"?", 1)[0].decode("ascii", "replace")
            writer.write(_response(await _page(pages, method, path), method))
            await writer.drain()
        writer.close()

    try:
        return await asyncio.start_server(answer, at.ip, at.port, limit=_LONGEST_REQUEST)
    except OSError as error:
        raise NetworkUnreachable(
            f"cannot serve metrics on {at}", why=error.strerror, hint="Give --metrics another port"
        ) from None


async def _page(pages: Pages, method: bytes, path: str) -> Page:
    if method not in (b"GET", b"HEAD"):
        return plain(405, "only GET")
    if path not in pages:
        return plain(404, "there are: " + " ".join(pages))
    return await pages[path]()


def _response(page: Page, method: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\n"
        f"Content-Type: {page.content_type}\r\nContent-Length: {len(page.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else page.body)
