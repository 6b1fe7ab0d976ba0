"""Binding over a connected stream: asking, and answering (RFC 8489 §6.2.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from natkit.errors import MalformedMessage, NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import Network, StreamEndpoint
from natkit.stun.binding import BindingClient, BindingEvent, BindingTimedOut
from natkit.stun.server import BindingServer
from natkit.stun.transaction import RELIABLE

_HEADER_SIZE = 20


async def ask_over_stream(
    network: Network,
    stream: StreamEndpoint,
    *,
    transaction_id: Callable[[], bytes],
    patience: Seconds = RELIABLE.patience,
) -> BindingEvent:
    """Send one Binding request over `stream` and return how it ended.

    Args:
        network:        whose clock measures the round trip.
        transaction_id: returns 12 unpredictable bytes.
        patience:       seconds to wait for the answer.
    Raises: NetworkUnreachable: the stream ended without an answer.
            MalformedMessage:   something came that is not STUN.
    """
    machine = BindingClient(transaction_id, RELIABLE)
    asked = machine.ask(stream.remote, now=network.now())
    (transmit,) = machine.transmits()
    await stream.write(transmit.data)
    try:
        async with asyncio.timeout(patience):
            while True:
                message = await _read_message(stream)
                if message is None:
                    raise NetworkUnreachable(
                        f"{stream.remote} closed the connection without an answer"
                    )
                machine.receive(message, stream.remote, now=network.now())
                for event in machine.events():
                    return event
    except TimeoutError:
        return BindingTimedOut(asked, stream.remote, 1)


async def answer_stream(stream: StreamEndpoint) -> None:
    """Answer Binding requests until the stream ends, says something that is not STUN, or is silent
    for as long as a client waits.

    RFC 5780 needs UDP, so these answers are always plain ones.

    Raises: NetworkUnreachable: the connection broke.
    """
    server = BindingServer()
    with contextlib.suppress(MalformedMessage, TimeoutError):
        while await _answer_one(server, stream):
            pass


async def _answer_one(server: BindingServer, stream: StreamEndpoint) -> bool:
    """Wait for one request and answer it; False at the end of the stream."""
    async with asyncio.timeout(RELIABLE.patience):
        message = await _read_message(stream)
        if message is None:
            return False
        reply = server.answer(message, stream.remote, at=stream.local)
        if reply is not None:
            await stream.write(reply.data)
    return True


async def _read_message(stream: StreamEndpoint) -> bytes | None:
    """Read one STUN message; None: the stream ended before its end."""
    header = await _read_exactly(stream, _HEADER_SIZE)
    if header is None:
        return None
    if header[0] >= 0x40:  # the two top bits of a STUN message are zero (RFC 8489 §5)
        raise MalformedMessage("header", "RFC 8489 §5", f"{stream.remote} does not speak STUN")
    body = await _read_exactly(stream, int.from_bytes(header[2:4], "big"))
    return None if body is None else header + body


async def _read_exactly(stream: StreamEndpoint, size: int) -> bytes | None:
    """Read `size` bytes; None: the stream ended before."""
    data = b""
    while len(data) < size:
        more = await stream.read(size - len(data))
        if not more:
            return None
        data += more
    return data
