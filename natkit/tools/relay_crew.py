"""The workers of a TURN server that share its ports: started, told, and started again when lost.

Rule of the file: every socket that a worker has is open here as well. When one dies, its listeners
stay in the kernel's group, so none of the others' clients reaches another worker than before, and
the next one finds what came meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from natkit.aio.turn_link import Link, link_pair
from natkit.aio.turn_report import Live, Report, Session, SessionEnded, WorkerFailed, WorkerLost
from natkit.aio.turn_shared import SharedAccounts, make_table
from natkit.errors import NatkitError
from natkit.machine import Seconds
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_orders import (
    Answer,
    AskLive,
    Begin,
    Drain,
    Failed,
    LiveNow,
    Ready,
    Reload,
    Reported,
    Stop,
)
from natkit.tools.relay_places import Opening
from natkit.tools.relay_worker import Part
from natkit.turn.forwarding import CloseReason
from natkit.wire import TransportAddress

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import FastTable

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from natkit.tools import relay_process as p; p.main()"
)
"""Modules come from where ours do, and never from the current folder."""

START: Seconds = 30.0
"""For a worker to begin: a busy machine takes seconds to start a Python."""

PATIENCE: Seconds = 1.0
"""For a worker to say what it has."""

_GRACE: Seconds = 5.0
"""For a worker to end when told, before it is killed."""

_LOOK_EVERY: Seconds = 5.0
_HANGS = 4
"""Looks at a worker that it does not answer until it is given up: calls that wait for so long are
over, and a machine that is short of CPU answers sooner."""

_LONGEST_PAUSE: Seconds = 5.0
"""Before a worker that will not live is started again."""


class Crew:
    """The worker processes of one server.

    Args:
        part:     of the first worker; the others have the same but for their number.
        openings: what clients come to, with a socket for each worker; owned by the caller.
        report:   hears what the services report.
        fast:     what the workers forward by in the kernel; owned.

    Attributes:
        idle: set while there is no allocation.
    """

    def __init__(
        self,
        part: Part,
        openings: Sequence[Opening],
        report: Callable[[Report], None],
        fast: FastTable | None = None,
    ) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._part = part
        self._doors = tuple(opening.kinds for opening in openings)
        self._report = report
        self._fast = fast
        self._closing = False
        self._draining = False
        self._table = make_table(part.workers)
        self._accounts = SharedAccounts(self._table, 0, part.workers)
        self._past = Live(workers=0)
        self._ends = _mesh(part.workers)
        self._hands = [
            _Hand(number, tuple(opening.sockets[number] for opening in openings), self)
            for number in range(part.workers)
        ]
        self._keeping: list[asyncio.Task[None]] = []

    @property
    def allocations(self) -> int:
        """How many there are."""
        return sum(len(hand.sessions) for hand in self._hands)

    async def open(self) -> None:
        """Start every worker. Raises: NatkitError: one of them cannot begin."""
        await asyncio.gather(*(self._start(hand) for hand in self._hands))
        self._keeping = [asyncio.create_task(self._keep(hand)) for hand in self._hands]
        self._keeping.append(asyncio.create_task(self._watch()))

    def reload(self, config: RelayConfig) -> None:
        """Go on with another configuration, which has been found good."""
        self._part = replace(self._part, config=config)
        for hand in self._hands:
            hand.tell(Reload(config))

    def drain(self) -> None:
        """Make no more allocations; those there are go on."""
        self._draining = True
        for hand in self._hands:
            hand.tell(Drain())

    async def live(self) -> Live:
        """Return what all workers have, as far as they answer, and have carried."""
        await asyncio.gather(*(hand.ask() for hand in self._hands))
        total = Live(workers=0)
        total.carried.add(self._past.carried)
        total.challenges = self._past.challenges
        for hand in self._hands:
            total.add(hand.last)
        return total

    async def close(self) -> None:
        """Stop every worker. Closing twice is harmless."""
        if self._closing:
            return
        self._closing = True
        for keeping in self._keeping:
            keeping.cancel()
        await asyncio.gather(*(hand.stop() for hand in self._hands))
        for end in self._ends.values():
            end.close()
        self._accounts.close()
        if self._fast is not None:
            self._fast.close()
        os.close(self._table)

    def heard(self, report: Report, hand: _Hand) -> None:
        """Keep account of a worker's allocations, and pass on what it reports."""
        match report:
            case Session(relayed=relayed):
                hand.sessions[relayed] = report
                self.idle.clear()
            case SessionEnded(session=session):
                hand.sessions.pop(session.relayed, None)
                if not self.allocations:
                    self.idle.set()
            case _:
                pass
        self._report(report)

    async def _start(self, hand: _Hand) -> None:
        """Start a worker, and wait until it serves. Raises: NatkitError: it does not."""
        others = [number for number in range(self._part.workers) if number != hand.number]
        links = [self._ends[hand.number, other] for other in others]

        def begin() -> Begin:
            part = replace(self._part, number=hand.number)
            return Begin(part, self._doors, self._draining, self._fast is not None)

        shared = () if self._fast is None else self._fast.shared
        await hand.start(begin, [self._table, *shared], links)

    async def _keep(self, hand: _Hand) -> None:
        """Start a worker again, whenever it ends by itself."""
        loop, pause = asyncio.get_running_loop(), 0.0
        while True:
            began = loop.time()
            why = await hand.ended()
            self._lose(hand, why)
            pause = (
                0.0 if loop.time() - began > _LONGEST_PAUSE else min(_LONGEST_PAUSE, pause + 0.2)
            )
            while True:
                await asyncio.sleep(pause)
                try:
                    await self._start(hand)
                    break
                except (NatkitError, OSError) as error:
                    self._report(WorkerFailed(hand.number, str(error)))
                    pause = _LONGEST_PAUSE

    async def _watch(self) -> None:
        """End a worker that hangs, so that another one takes its place."""
        silent = dict.fromkeys(self._hands, 0)
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            answers = await asyncio.gather(*(hand.ask() for hand in self._hands))
            for hand, answered in zip(self._hands, answers, strict=True):
                silent[hand] = 0 if answered else silent[hand] + 1
                if silent[hand] == _HANGS:
                    why = f"it has not answered for {_HANGS * _LOOK_EVERY:g} s, and is killed"
                    self._report(WorkerFailed(hand.number, why))
                    hand.kill()

    def _lose(self, hand: _Hand, why: str) -> None:
        """Take that a worker is gone, with all that it had."""
        self._accounts.clear(hand.number)
        if self._fast is not None:
            self._fast.end(hand.number, self._part.workers)
        self._past.carried.add(hand.last.carried)
        self._past.challenges += hand.last.challenges
        hand.last = Live(workers=0)
        self._report(WorkerLost(hand.number, why, len(hand.sessions)))
        now = asyncio.get_running_loop().time()
        for session in list(hand.sessions.values()):
            lasted = now - session.began
            self.heard(SessionEnded(session, CloseReason.WORKER_LOST, None, lasted), hand)


class _Hand:
    """One worker, or the one that has taken its place.

    Attributes:
        sessions: its allocations.
        last:     what it had when it was last asked.
    """

    def __init__(self, number: int, sockets: Sequence[socket.socket], crew: Crew) -> None:
        self.number = number
        self.sessions: dict[TransportAddress, Session] = {}
        self.last = Live(workers=0)
        self._sockets = sockets
        self._crew = crew
        self._process: asyncio.subprocess.Process | None = None
        self._link: Link | None = None
        self._ready: asyncio.Future[None] | None = None
        self._answered = asyncio.Event()
        self._silent = asyncio.Event()

    async def start(
        self,
        begin: Callable[[], Begin],
        descriptors: Sequence[int],
        links: Sequence[socket.socket],
    ) -> None:
        """Start the process, and wait until it serves.

        Args:   begin: returns what to tell it once it is there: what is ordered from then on
                       reaches it, and what was before is in there.
        Raises: NatkitError, OSError: it does not serve.
        """
        ours, theirs = link_pair()
        program = _PROGRAM.format(path=sys.path)
        argv = [sys.executable, "-P", "-c", program, str(theirs.fileno())]
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *argv, pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL
                )
            except BaseException:
                ours.close()
                raise
        self._silent.clear()
        self._ready = asyncio.get_running_loop().create_future()
        self._link = Link(ours, self._told, self._cut)
        sockets = [sock.fileno() for sock in (*links, *self._sockets)]
        self._link.send(begin(), [*descriptors, *sockets])
        try:
            async with asyncio.timeout(START):
                await self._ready
        except (NatkitError, TimeoutError) as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise NatkitError(f"worker {self.number} has not begun in {START:g} s") from None
            raise

    async def ended(self) -> str:
        """Wait until the process has ended; return how, in words."""
        if self._process is None:
            return "it was not there"
        code = await self._process.wait()
        await self._hear_out()
        return f"killed by signal {-code}" if code < 0 else f"it ended with {code}"

    def tell(self, order: Reload | Drain | AskLive | Stop) -> None:
        """Say something to the worker."""
        if self._link is not None:
            self._link.send(order)

    async def ask(self) -> bool:
        """Bring `last` up to date; false: the worker does not answer, which `last` says as well."""
        if self._ready is None or not self._ready.done():
            return True  # it has yet to begin, which has a limit of its own
        self._answered.clear()
        self.tell(AskLive())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._answered.wait()
        except TimeoutError:
            self.last.workers = 0
            return False
        return True

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """End the process; kill it where it does not end."""
        self.tell(Stop())
        if self._process is not None:
            try:
                async with asyncio.timeout(_GRACE):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._hear_out()

    async def _hear_out(self) -> None:
        """Take in what a worker that has ended said before."""
        if self._link is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._silent.wait()
            self._link.close()

    def _told(self, answer: Answer, _: list[int]) -> None:
        match answer:
            case Ready():
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)
            case Failed(error):
                self._fail(error)
            case Reported(reports):
                for report in reports:
                    self._crew.heard(report, self)
            case LiveNow(live):
                self.last = live
                self._answered.set()

    def _cut(self) -> None:
        self._silent.set()
        if self._ready is not None and not self._ready.done():
            self._fail(NatkitError(f"worker {self.number} ended before it served"))

    def _fail(self, error: NatkitError) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
        else:
            self._crew.heard(WorkerFailed(self.number, str(error)), self)


def _mesh(workers: int) -> dict[tuple[int, int], socket.socket]:
    """Return a link for each two workers: under (a, b) the end that is a's."""
    ends: dict[tuple[int, int], socket.socket] = {}
    for one in range(workers):
        for other in range(one):
            mine, theirs = link_pair()
            ends[one, other], ends[other, one] = mine, theirs
    return ends
