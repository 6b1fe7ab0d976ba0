"""The load of the relay benchmark: one process that sends, and two that receive, for clients and
peers. Each is told by a pipe what to do, and answers with what became of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import socket
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from natkit.errors import NatkitError
from natkit.machine import Seconds
from scripts.benchmarks._relay_mmsg import BATCH, Inbox, Outbox, Way

TICK: Seconds = 0.0001
"""How often packets are sent that are due, where the rate is given."""

DEBT: Seconds = 0.005
"""What a sender that was held up sends later; older ones it never sends, nor counts."""

FILLING: Seconds = 0.1
"""Until the buffers on the way are as full as they stay: from then on arrivals count as a rate."""

SETTLING: Seconds = 0.12
"""How long to wait for the last packets, when no more are sent."""

ANSWER: Seconds = 20.0
KEPT = 50_000
"""Latencies of one receiver that are looked at."""

_PR_SET_TIMERSLACK = 29


class Flow(NamedTuple):
    """What one side sends.

    Attributes:
        up:      whether clients send.
        ways:    one for each call.
        header:  what comes before the payload.
        size:    bytes of the payload.
        arrives: bytes before the payload when it arrives.
    """

    up: bool
    ways: list[Way]
    header: bytes
    size: int
    arrives: int


@dataclass(frozen=True, slots=True)
class Sent:
    """How many packets were sent, between two instants of the monotonic clock, in nanoseconds.

    Attributes: cpu: nanoseconds of the sender's, with what the kernel did in its place.
    """

    count: int
    began: int
    ended: int
    cpu: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a receiver got of it.

    Attributes:
        count:     packets.
        steady:    those that came while as much was sent, after FILLING.
        latencies: nanoseconds, a sample.
    """

    count: int
    steady: int
    latencies: array[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load.

    Attributes:
        arrived:   packets, by one receiver after the other.
        latencies: nanoseconds, a sample, in order.
    """

    sent: Sent
    arrived: list[Arrived]
    latencies: list[int]

    @property
    def count(self) -> int:
        """Packets that arrived."""
        return sum(one.count for one in self.arrived)

    @property
    def offered(self) -> float:
        """Packets that were sent a second."""
        return self.sent.count / (self.sent.ended - self.sent.began) * 1e9

    @property
    def delivered(self) -> float:
        """Packets that arrived a second, while it was steady."""
        steady = self.sent.ended - self.sent.began - FILLING * 1e9
        return sum(one.steady for one in self.arrived) / steady * 1e9

    def latency(self, share: float) -> float:
        """Return microseconds: `share` of what arrived was not later; nan: nothing arrived."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)] / 1e3


@dataclass(frozen=True)
class Generator:
    """The processes; `peers` receives what goes up."""

    sender: Connection
    clients: Connection
    peers: Connection

    def send(self, flows: Sequence[Flow], rate: int | None, duration: Seconds) -> Outcome:
        """Send `rate` packets a second in all, None: as many as go, and see what arrives."""
        receivers = [self.peers if flow.up else self.clients for flow in flows]
        for flow, receiver in zip(flows, receivers, strict=True):
            receiver.send((flow.arrives, flow.size))
        self.sender.send((flows, rate, duration))
        sent: Sent = _answer(self.sender)
        time.sleep(SETTLING)
        for receiver in receivers:
            receiver.send(sent)
        found: list[Arrived] = [_answer(receiver) for receiver in receivers]
        return Outcome(sent, found, sorted(one for each in found for one in each.latencies))


@contextlib.contextmanager
def generator(clients: socket.socket, peers: socket.socket) -> Iterator[Generator]:
    """Start the processes, and end them."""
    fresh = get_context("spawn")
    with contextlib.ExitStack() as stack:
        pipes = []
        for target, sockets in (
            (_sender, (clients, peers)),
            (_receiver, (clients,)),
            (_receiver, (peers,)),
        ):
            ours, theirs = fresh.Pipe()
            process = fresh.Process(target=target, args=(theirs, *sockets), daemon=True)
            process.start()
            stack.callback(_end, process)
            theirs.close()
            pipes.append(stack.enter_context(ours))
        yield Generator(*pipes)


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(ANSWER):
        raise NatkitError("the generator of the load does not answer")
    try:
        return pipe.recv()
    except EOFError:
        raise NatkitError("the generator of the load has ended") from None


def _settle_down() -> None:
    """Let nothing come between: no collector, and Ctrl-C is the parent's."""
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _sender(pipe: Connection, clients: socket.socket, peers: socket.socket) -> None:
    """Send what is asked for, until the pipe is closed."""
    _settle_down()
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    with contextlib.suppress(EOFError):
        while True:
            flows, rate, duration = pipe.recv()
            boxes = [
                Outbox(clients if flow.up else peers, flow.ways, flow.header, flow.size)
                for flow in flows
            ]
            send = _flood if rate is None else _pace
            pipe.send(send(boxes, rate or 0, round(duration * 1e9)))
            gc.collect()


def _flood(boxes: list[Outbox], _rate: int, duration: int) -> Sent:
    """Send as many as go."""
    sent, cpu, began = 0, time.process_time_ns(), time.monotonic_ns()
    ends = began + duration
    while (now := time.monotonic_ns()) < ends:
        for box in boxes:
            sent += box.send(BATCH)
    return Sent(sent, began, now, time.process_time_ns() - cpu)


def _pace(boxes: list[Outbox], rate: int, duration: int) -> Sent:
    """Send at a rate."""
    sent, cpu, began = 0, time.process_time_ns(), time.monotonic_ns()
    ends, most, given_up = began + duration, int(rate * DEBT), 0
    while (now := time.monotonic_ns()) < ends:
        due = (now - began) * rate // 1_000_000_000 - given_up - sent
        if due > most:
            given_up += due - most
        elif due < len(boxes):
            time.sleep(TICK)
        else:
            sent += sum(box.send(due // len(boxes)) for box in boxes)
    return Sent(sent, began, now, time.process_time_ns() - cpu)


def _receiver(pipe: Connection, sock: socket.socket) -> None:
    """Receive what is announced, until the pipe is closed."""
    _settle_down()
    with contextlib.suppress(EOFError):
        while True:
            header, size = pipe.recv()
            stamps, times = _received(pipe, Inbox(sock, header, size))
            pipe.send(_seen(stamps, times, pipe.recv()))
            gc.collect()


def _received(pipe: Connection, inbox: Inbox) -> tuple[list[int], list[tuple[int, int]]]:
    """Receive until the sender has ended and nothing comes any more.

    Returns: stamps in the order of arrival; when there were how many of them.
    """
    stamps: list[int] = []
    times: list[tuple[int, int]] = []
    while True:
        found = inbox.receive()
        if found:
            stamps += found
            times.append((time.monotonic_ns(), len(found)))
        elif pipe.poll():
            return stamps, times


def _seen(stamps: list[int], times: list[tuple[int, int]], sent: Sent) -> Arrived:
    """Count what was sent since `sent.began`; what came from before is of another load."""
    at, fresh, steady = 0, 0, 0
    latencies = array("q")
    filled = sent.began + round(FILLING * 1e9)
    for now, count in times:
        lot = [now - stamp for stamp in stamps[at : at + count] if stamp >= sent.began]
        at, fresh = at + count, fresh + len(lot)
        steady += len(lot) if filled <= now < sent.ended else 0
        latencies.extend(lot)
    return Arrived(fresh, steady, latencies[:: 1 + len(latencies) // KEPT])
