"""Connect to somebody: tell each other candidates, find a path, and ping over it.

    waiting -> connecting -> (relayed, and direct is wanted: restart, connecting) -> pinging

Rules of the file:
1. Both sides run the same program. The one whose user fragment is the greater leads: it controls,
   and it says when to restart and when to ping; the other follows.
2. Signalling that breaks after there is a path takes nothing away from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from natkit.aio.connection import Connection, SelectedPair, TransportPolicy
from natkit.aio.ice_servers import ServerName, TurnServer
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.ice.candidate import TcpType
from natkit.ice.credentials import Credentials
from natkit.ice.events import State
from natkit.ice.report import Json
from natkit.machine import Instant, Seconds
from natkit.network import Network
from natkit.rendezvous.ping import PingAnswered, Pinger, PingLost
from natkit.tools.connect_report import Report
from natkit.tools.connect_talk import Generation, Signalling, Talk
from natkit.tools.path_explanation import explain_path
from natkit.tools.path_values import PathExplanation

_FIRST_REST: Seconds = 1.0
_LONGEST_REST: Seconds = 8.0
"""Between two attempts at a direct path, doubling: a NAT does soon what it has just done."""

_ATTEMPT: Seconds = 45.0
"""How long one attempt may take beyond the time that both want: ICE gives up after 39.5 s."""


class Stage(StrEnum):
    """What is being done."""

    WAITING = "waiting for the other side"
    CONNECTING = "looking for a path"
    RESTING = "relayed; looking for a direct path again soon"
    PINGING = "pinging"


@dataclass(frozen=True, slots=True)
class StageBegun:
    """Something else is done from now on.

    Attributes: attempt: 1, and one more for each restart; 0: waiting for the peer.
    """

    stage: Stage
    attempt: int


CallEvent: TypeAlias = StageBegun | PingAnswered | PingLost


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be done.

    Attributes:
        stun, turn:   servers to ask.
        interfaces:   names of those to use; None: all but loopback.
        tcp:          which candidates over TCP to offer, too.
        port_mapping: ask the gateway for an outside port.
        count:        pings, 1 or more.
        timeout:      for a path to be found, seconds; with `until_direct` for a direct one.
        until_direct: go on, with restarts, until the path is direct.
    """

    stun: Sequence[ServerName] = ()
    turn: Sequence[TurnServer] = ()
    policy: TransportPolicy = TransportPolicy.ALL
    interfaces: Sequence[str] | None = None
    tcp: Sequence[TcpType] = ()
    port_mapping: bool = False
    count: int = 4
    timeout: Seconds = 60.0
    until_direct: bool = False


class Call:
    """One side of a call. Use `run`, once; meanwhile `report` tells how it goes.

    Args:
        randomness: returns that many unpredictable bytes.
    """

    def __init__(
        self,
        network: Network,
        signalling: Signalling,
        wishes: Wishes,
        randomness: Callable[[int], bytes],
    ) -> None:
        self.attempts = 0
        self._network, self._wishes = network, wishes
        self._randomness = randomness
        self._on_event: Callable[[CallEvent], None] = lambda _: None
        self._signalling = signalling
        self._talk = Talk(signalling, wishes.timeout if wishes.until_direct else 0.0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._generation = Generation(0, self._credentials())
        self._pinger: Pinger | None = None
        self._began: Instant = network.now()
        self._seconds: Seconds | None = None
        self._pair: SelectedPair | None = None
        self._explanation: PathExplanation | None = None
        self._connection = Connection(
            True,
            stun_servers=wishes.stun,
            turn_servers=wishes.turn,
            transport_policy=wishes.policy,
            interfaces=wishes.interfaces,
            tcp=wishes.tcp,
            port_mapping=wishes.port_mapping,
            local_username=self._generation.own.ufrag,
            local_password=self._generation.own.password,
            on_candidate=lambda candidate: self._talk.found(self._generation, candidate),
            on_state=lambda _: self._talk.news.tell(),
            network=network,
            randomness=randomness,
        )

    def report(self) -> Json:
        """Return what is known of candidates and pairs now: natkit.ice/1."""
        return self._connection.report()

    async def run(self, on_event: Callable[[CallEvent], None]) -> Report:
        """Connect, ping, and say what came of it.

        Args:   on_event: hears what happens, as it happens.
        Raises: NatkitError: the two could not tell each other what they need.
        """
        self._on_event = on_event
        try:
            self._enter(Stage.WAITING)
            await self._signalling.arrival()
            self._start(self._talk.listen)
            reason = await self._connect()
            if self._pair is not None:
                await self._ping()
            return self._concluded(reason)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.gather(self._signalling.close(), self._connection.close())

    def _enter(self, stage: Stage) -> None:
        self._on_event(StageBegun(stage, self.attempts))

    def _concluded(self, reason: str) -> Report:
        return Report(
            self._pair,
            reason,
            self.attempts,
            self._seconds,
            () if self._pinger is None else tuple(self._pinger.pings),
            self._wishes.until_direct,
            self._explanation or explain_path(self.report()),
            self.report(),
        )

    # Finding a path.

    async def _connect(self) -> str:
        """Look for a path, and on until it is as wished; return why there is none."""
        reason = await self._attempt()
        while not reason and await self._goes_on():
            reason = await self._attempt()
        return reason

    async def _attempt(self) -> str:
        """Look for a path once; return why there is none.

        Raises: NatkitError: signalling broke before there was any.
        """
        self.attempts += 1
        first = self.attempts == 1
        try:
            # A person may take any time to paste a line; a restart is answered at once.
            async with asyncio.timeout(None if first else _ATTEMPT):
                taking = await self._introduce()
        except (NatkitError, TimeoutError) as error:
            if first:
                raise
            return error.what if isinstance(error, NatkitError) else "the peer did not restart"
        try:
            return await self._look(self._wishes.timeout if first else _ATTEMPT)
        finally:
            taking.cancel()

    async def _look(self, patience: Seconds) -> str:
        """Check pairs until one is chosen; return why none was."""
        self._enter(Stage.CONNECTING)
        try:
            async with asyncio.timeout(patience):
                await self._find()
        except TimeoutError:
            return f"no path was found in {patience:g} s"
        except ConnectionError:
            return str(self.report()["reason"]) or "the path was lost"
        except NetworkUnreachable as error:  # the report shows how far it has come
            return error.what
        self._pair = self._connection.selected_pair()
        self._explanation = explain_path(self.report())
        self._seconds = self._seconds or self._network.now() - self._began
        return ""

    async def _introduce(self) -> asyncio.Task[None]:
        """Gather, tell, and hear from the other one; return what goes on hearing.

        Raises: NatkitError: signalling broke.
        """
        generation, connection = self._generation, self._connection
        gathering = self._start(connection.gather_candidates)
        if not self._signalling.trickles:
            await gathering
        self._start(lambda: self._talk.tell(generation))
        await self._unless_trouble(self._talk.meet(generation, connection))
        if self._pinger is None:
            self._pinger = self._talk.pinger(generation, connection, self._wishes.count)
            self._began = self._network.now()
        return self._start(lambda: self._talk.take(generation, connection))

    async def _find(self) -> None:
        """Check pairs until one is chosen.

        Raises: NatkitError: signalling broke; ConnectionError: no pair works.
        """
        await self._unless_trouble(self._connection.connect())
        if self.attempts == 1 and (pinger := self._pinger) is not None:
            self._start(lambda: self._receive(pinger))
        await self._nomination()

    async def _nomination(self) -> None:
        """Wait for it: until then a better path may come. Raises: ConnectionError."""
        while self._connection.state in (State.CHECKING, State.CONNECTED):
            await self._talk.news.wait()
        if self._connection.state is not State.COMPLETED:
            raise ConnectionError

    async def _unless_trouble(self, work: Awaitable[None]) -> None:
        """Do something, as long as signalling holds. Raises: NatkitError: it has broken."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._talk.news.tell())
        try:
            while not task.done():
                if self._talk.trouble is not None:
                    raise self._talk.trouble
                await self._talk.news.wait()
            task.result()
        finally:
            task.cancel()

    async def _goes_on(self) -> bool:
        """Wait until it is time for another attempt, and prepare it; False: there is none."""
        if self._pair is None or not self._pair.is_relayed or not self._talk.until_direct:
            return False
        self._enter(Stage.RESTING)
        again = await (self._rest() if self._connection.ice_controlling else self._peers_word())
        if again:
            self._generation = Generation(self.attempts, self._credentials())
            own = self._generation.own
            self._connection.restart(own.ufrag, own.password)
        return again

    async def _rest(self) -> bool:
        """As the one who leads: wait a little; False: there is no time left."""
        rest = min(_FIRST_REST * 2 ** (self.attempts - 1), _LONGEST_REST)
        left = self._began + self._talk.until_direct - self._network.now()
        if rest < left and self._talk.trouble is None:
            await self._network.sleep(rest)
        return rest < left and self._talk.trouble is None

    async def _peers_word(self) -> bool:
        """As the other one: wait until the peer begins anew, or pings (False)."""
        assert self._pinger is not None  # noqa: S101 - there is a path
        left = self._began + self._talk.until_direct + _ATTEMPT - self._network.now()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                while not self._pinger.peer_started and self._talk.trouble is None:
                    if self._talk.has_heard(self.attempts):
                        return True
                    await self._talk.news.wait()
        return False

    def _credentials(self) -> Credentials:
        fresh = Credentials.fresh(self._randomness)
        return Credentials(fresh.ufrag, self._signalling.password(fresh.ufrag) or fresh.password)

    def _start(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Do something beside, whose failure is the talk's trouble; or nothing, if this is over."""
        task = asyncio.ensure_future(self._talk.watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Pinging.

    async def _receive(self, pinger: Pinger) -> None:
        """Hand what comes over the path to the pinger, until there is no path."""
        with contextlib.suppress(ConnectionError):
            while True:
                pinger.receive(await self._connection.recv(), now=self._network.now())
                await self._flush(pinger)
                self._talk.news.tell()

    async def _ping(self) -> None:
        assert self._pinger is not None  # noqa: S101 - there is a path
        self._enter(Stage.PINGING)
        pinger = self._pinger
        pinger.start(now=self._network.now())
        while (deadline := pinger.deadline()) is not None:
            await self._flush(pinger)
            try:
                async with asyncio.timeout(deadline - self._network.now()):
                    await self._talk.news.wait()
            except TimeoutError:
                pinger.tick(now=max(deadline, self._network.now()))
        await self._flush(pinger)

    async def _flush(self, pinger: Pinger) -> None:
        for data in pinger.outgoing():
            with contextlib.suppress(ConnectionError):
                await self._connection.send(data)
        for event in pinger.events():
            self._on_event(event)
