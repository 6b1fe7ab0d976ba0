"""The floor of the relay: what the system calls of a packet cost in Python, by how they are made.

    python -m scripts.benchmarks._datagram_floor

16 datagrams of speech at once to one socket on loopback, in a process that does nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from struct import pack

from natkit.dataplane.bulk import Inbox
from natkit.dataplane.departures import DONT_WAIT, Counted, Departures, MessageDepartures
from natkit.dataplane.departures import system_call as call
from natkit.dataplane.ring import Ring
from natkit.dataplane.routes import Route, address_of
from natkit.dataplane.sockaddr import to_packed

SIZE, AT_ONCE, ROUNDS, REPEATS = 172, 16, 400, 7
_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


class Loop:
    """Sockets that send to one that receives."""

    def __init__(self) -> None:
        self.to, self.senders = _bound(), [_bound() for _ in range(AT_ONCE)]
        self.to.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.name = self.to.getsockname()
        self.data = bytearray(SIZE * AT_ONCE)
        self.recvmmsg, self.inbox = call("recvmmsg"), Inbox()

    def sendto(self) -> None:
        """One call for each."""
        for sender in self.senders:
            sender.sendto(memoryview(self.data)[:SIZE], self.name)

    def sent_by(self, departures: Departures, sockets: int) -> Callable[[], object]:
        """Return what sends all of them at once, from so many sockets."""
        packed, here = to_packed(self.name), address_of(self.data)
        routes = [Route(sender.fileno(), packed) for sender in self.senders[:sockets]]
        waiting = [(route, here, SIZE, _NOBODY) for route in routes * (AT_ONCE // sockets)]
        return lambda: departures.send(waiting)

    def segmented(self) -> None:
        """All of them as one, which the kernel cuts (UDP_SEGMENT)."""
        beside = [(socket.IPPROTO_UDP, _UDP_SEGMENT, pack("=H", SIZE))]
        self.senders[0].sendmsg([self.data], beside, 0, self.name)

    def recvmsg(self) -> None:
        """One call for each."""
        for _ in range(AT_ONCE):
            self.to.recvmsg(65536, 24)

    def received_by(self, batch: int) -> Callable[[], None]:
        """Return what receives so many at once."""

        def receive() -> None:
            for at in range(0, AT_ONCE, batch):
                pointer = self.inbox.arrivals(ipv6=False).pointers[at]
                self.recvmmsg(self.to.fileno(), pointer, batch, DONT_WAIT, None)

        return receive

    def coalesced(self) -> None:
        """All of them as one (UDP_GRO)."""
        self.to.recvmsg(65536, 64)


_NOBODY = Counted()


def _measure(name: str, send: Callable[[], object], receive: Callable[[], None]) -> None:
    best = [1.0, 1.0]
    for _ in range(REPEATS):
        spent = [0.0, 0.0]
        for _ in range(ROUNDS):
            before = time.thread_time()
            send()
            between = time.thread_time()
            receive()
            spent[0] += between - before
            spent[1] += time.thread_time() - between
        best = list(map(min, best, spent))
    sent, received = (seconds / ROUNDS / AT_ONCE * 1e6 for seconds in best)
    print(f"{name:58} send {sent:5.2f} µs   receive {received:5.2f} µs")


def main() -> None:
    """Measure and print, per packet."""
    loop, ring, messages = Loop(), Ring(64), MessageDepartures(64)
    _measure("sendto, recvmsg", loop.sendto, loop.recvmsg)
    _measure("io_uring from 16 sockets, recvmmsg of 1", loop.sent_by(ring, 16), loop.received_by(1))
    _measure("io_uring from one, recvmmsg of 4", loop.sent_by(ring, 1), loop.received_by(4))
    _measure("sendmmsg from 16, recvmmsg of 16", loop.sent_by(messages, 16), loop.received_by(16))
    _measure("sendmmsg from one, recvmmsg of 16", loop.sent_by(messages, 1), loop.received_by(16))
    _measure("UDP_SEGMENT, recvmmsg of 16", loop.segmented, loop.received_by(16))
    loop.to.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    _measure("UDP_SEGMENT, UDP_GRO", loop.segmented, loop.coalesced)
    loop.to.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 0)
    for sender in loop.senders:
        sender.connect(loop.name)

    def connected() -> None:
        for sender in loop.senders:
            sender.send(memoryview(loop.data)[:SIZE])

    _measure("connected send, recvmsg", connected, loop.recvmsg)


if __name__ == "__main__":
    main()
