"""TCP, as far as NATs and tools can tell: SYN and RST through the path, bytes in order, FIN.

Sequence numbers count from 0: the SYN is number 0, data follows from 1, the FIN is last; one timer
sends again from the first number that is not acknowledged (go-back-N). There is no congestion
control, and a receiver whose inbox is full lets segments fall, so that the sender waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from natkit.errors import NatkitError, NetworkUnreachable
from natkit.lab.sim.node import Node
from natkit.lab.sim.packet import Flags, Packet, Proto, Quote, TcpHeader
from natkit.machine import Seconds
from natkit.wire import TransportAddress

SEGMENT_SIZE = 1400
"""Bytes of data in one segment: an Ethernet frame less its headers, rounded down."""
WINDOW = 64 * 1024
"""Bytes that may be under way, that an inbox holds, and that `write` leaves waiting."""
FIRST_RETRY: Seconds = 1.0
"""RFC 6298 §2: the retransmission timer starts at one second, and doubles."""
RETRIES = 6
"""Linux's net.ipv4.tcp_syn_retries: 127 s until a connection is given up."""


class SimStream:
    """One end of a TCP connection."""

    def __init__(
        self, node: Node, local: TransportAddress, remote: TransportAddress, opening: Flags
    ) -> None:
        self.local = local
        self.remote = remote
        self._node = node
        self._opening = opening  # SYN where we call, SYN_ACK where we were called
        self._base = 0  # the first number that is not acknowledged
        self._next = 0  # the first number that was not sent
        self._outbox = bytearray()  # the data from number max(1, base) on
        self._end = 1  # the number of the FIN: one past the data
        self._closing = False
        self._expected = 0  # the next number of the other side
        self._inbox = bytearray()
        self._at_end = False
        self._error: NatkitError | None = None
        self._changed = asyncio.Event()
        self._retries = 0
        self._timer: asyncio.TimerHandle | None = None
        node.join(local, remote, self)

    @property
    def is_open(self) -> bool:
        """True from the answer to the SYN until an error."""
        return self._base > 0 and self._error is None

    # What a program calls.

    async def connect(self) -> None:
        """Send the SYN and wait for the answer. Raises: NetworkUnreachable: refused."""
        self._pump()
        await self._until(lambda: self._base > 0)

    async def read(self, limit: int = 65536) -> bytes:
        """Return 1 .. `limit` bytes as they come, b"" at the end.

        Raises: NetworkUnreachable: the connection was reset or given up.
        """
        await self._until(lambda: bool(self._inbox) or self._at_end or self._closing)
        data = bytes(self._inbox[:limit])
        del self._inbox[:limit]
        return data

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while more than a window of it is left.

        Raises: NetworkUnreachable: the connection was reset or given up, or is closed.
        """
        if self._closing:
            raise NetworkUnreachable(f"cannot write to {self.remote}", why="the stream is closed")
        self._outbox += data
        self._end += len(data)
        self._pump()
        await self._until(lambda: len(self._outbox) <= WINDOW)

    async def close(self) -> None:
        """End the stream once what was written has arrived; does not wait for it."""
        if not self._closing:
            self._closing = True
            self._pump()
            self._changed.set()

    def abort(self) -> None:
        """Forget the connection without telling the other end."""
        self._fail(NetworkUnreachable(f"{self.remote} was given up"))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    # What the node calls.

    def arrived(self, packet: Packet) -> None:
        """Take a segment."""
        header = packet.tcp
        if header is None:
            return
        if header.flags is Flags.RST:
            why = "refused" if self._base == 0 else "reset"
            self._fail(NetworkUnreachable(f"{self.remote} {why} the connection"))
            return
        self._retries = 0  # it is alive, if only to say that its inbox is full
        self._take_acknowledgement(header.acknowledged)
        self._take(header, packet.data)
        self._pump()
        self._changed.set()
        if self._closing and self._at_end and self._base > self._end:
            self._leave()

    def complained(self, quote: Quote, reporter: str) -> None:
        """Take an ICMP error: fatal before the connection stands, a hint after (RFC 5461)."""
        if self._base == 0:
            self._fail(
                NetworkUnreachable(
                    f"{self.remote} cannot be reached",
                    why=f"ICMP type {quote.kind} code {quote.code} from {reporter}",
                )
            )

    def _take_acknowledgement(self, acknowledged: int) -> None:
        if acknowledged <= self._base:
            return
        del self._outbox[: acknowledged - max(self._base, 1)]
        self._base = acknowledged
        self._next = max(self._next, acknowledged)
        self._rearm()

    def _take(self, header: TcpHeader, data: bytes) -> None:
        length = len(data) if header.flags is Flags.ACK else 1
        if length == 0:
            return
        if header.sequence == self._expected and len(self._inbox) < WINDOW:
            self._expected += length
            self._at_end |= header.flags is Flags.FIN
            if not self._closing:
                self._inbox += data
        if header.flags is not Flags.SYN:  # which our SYN-ACK acknowledges
            self._send(TcpHeader(Flags.ACK, self._next, self._expected))
        elif self._base == 0 and self._opening is Flags.SYN:
            # Both have called at once (RFC 9293 §3.5): our SYN goes again, with an ACK.
            self._opening = Flags.SYN_ACK
            self._send_from(0)

    # Sending.

    def _pump(self) -> None:
        if self._error is not None:
            return
        while self._next < self._limit:
            self._next += self._send_from(self._next)
        if self._timer is None:
            self._rearm()

    @property
    def _limit(self) -> int:
        if self._base == 0:
            return 1
        return min(self._end + self._closing, self._base + WINDOW)

    def _send_from(self, number: int) -> int:
        """Send the segment that starts at `number`; return how many numbers it takes."""
        if number == 0:
            self._send(TcpHeader(self._opening, 0, self._expected))
            return 1
        start = number - max(self._base, 1)
        data = bytes(self._outbox[start : start + SEGMENT_SIZE])
        if not data:
            self._send(TcpHeader(Flags.FIN, number, self._expected))
            return 1
        self._send(TcpHeader(Flags.ACK, number, self._expected), data)
        return len(data)

    def _send(self, header: TcpHeader, data: bytes = b"") -> None:
        self._node.send(Packet(Proto.TCP, self.local, self.remote, data, tcp=header))

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._base < self._next:
            wait = FIRST_RETRY * 2**self._retries
            self._timer = self._node.fabric.loop.call_later(wait, self._retry)

    def _retry(self) -> None:
        self._timer = None
        if self._retries == RETRIES:
            self._fail(NetworkUnreachable(f"{self.remote} does not answer"))
            return
        self._retries += 1
        self._next = self._base
        self._pump()

    # Endings.

    def _fail(self, error: NatkitError) -> None:
        self._error = self._error or error
        self._leave()
        self._changed.set()

    def _leave(self) -> None:
        self._next = self._base
        self._rearm()
        self._node.leave(self.local, self.remote)


async def connect(
    node: Node, local: TransportAddress, remote: TransportAddress, patience: Seconds
) -> SimStream:
    """Connect from `local` (an address of `node`, port 0: a random one) to `remote`.

    Raises: NetworkUnreachable: refused, or no answer within `patience` seconds.
    """
    port = local.port or node.ephemeral(Proto.TCP)
    stream = SimStream(node, TransportAddress(local.ip, port), remote, Flags.SYN)
    try:
        async with asyncio.timeout(patience):
            await stream.connect()
    except TimeoutError as error:
        raise NetworkUnreachable(
            f"{remote} does not answer", why=f"no connection within {patience} s"
        ) from error
    finally:
        if not stream.is_open:
            stream.abort()
    return stream
