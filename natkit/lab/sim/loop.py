"""An asyncio event loop whose clock jumps: when nothing is ready, time moves to the next timer.

Nothing here waits, so an hour of protocol time costs milliseconds, and the same program runs the
same way every time. A loop that could only hang raises instead: see `VirtualLoop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from natkit.errors import NatkitError
from natkit.machine import Instant, Seconds

MAX_TURNS_AT_ONE_INSTANT = 100_000
"""Turns of the loop without the clock moving; a loop of `sleep(0)` would go on for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on virtual time that starts at 0.0 seconds.

    It ends with an error instead of hanging: when `max_seconds` of virtual time have passed, when
    nothing is scheduled and the awaited future is not done, when the clock stands still, and when
    a callback raised.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's heap of timers, the soonest first

    def __init__(self, *, max_seconds: Seconds) -> None:
        super().__init__()
        self._now: Instant = 0.0
        self._max_seconds = max_seconds
        self._turns = 0
        self._failure: Exception | None = None
        self._selector = self  # asyncio asks its selector to wait; here waiting moves the clock

    def time(self) -> Instant:
        """Return the virtual time, seconds."""
        return self._now

    def fail(self, error: Exception) -> None:
        """End the run with `error` before the next turn; the first one counts."""
        if self._failure is None:
            self._failure = error

    def select(self, timeout: Seconds | None) -> list[object]:
        """Stand in for a selector: never wait, move the clock.

        Raises: NatkitError: a ceiling was reached, or nothing can ever happen again.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._turns += 1
        if timeout == 0:
            if self._turns > MAX_TURNS_AT_ONE_INSTANT:
                raise NatkitError(
                    f"the simulated clock stands still at {self._now} s",
                    why=f"{self._turns} turns of the event loop without a timer",
                    hint="look for a loop that awaits nothing but sleep(0)",
                )
            return []
        self._jump()
        return []

    def _jump(self) -> None:
        if not self._scheduled:
            raise NatkitError(
                f"the simulation is stuck at {self._now} s",
                why="main still waits, but no timer and no packet is under way",
                hint="give the wait a timeout, or close what it waits for",
            )
        # To the timer's own instant, not by a difference: a lifetime of 120.0 must end exactly.
        at = self._scheduled[0].when()
        if at > self._max_seconds:
            raise NatkitError(
                f"the simulation would pass {self._max_seconds} virtual seconds",
                hint="look for a timer that never stops, or raise max_virtual_seconds",
            )
        self._now = max(self._now, at)
        self._turns = 0

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Let an exception that a callback raised end the run; log the rest as asyncio does."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, Exception):
            self.fail(error)
        else:
            super().default_exception_handler(context)

    def wind_down(self, grace: Seconds = 60.0) -> None:
        """Cancel what still runs, give it `grace` virtual seconds to finish, and close.

        Never raises for what the cancelled tasks do: the run has its result already.
        """
        self._failure = None
        self._turns = 0
        self._max_seconds = self._now + grace
        try:
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            if tasks:
                self.run_until_complete(asyncio.wait(tasks))
            self.run_until_complete(self.shutdown_asyncgens())
        except NatkitError:
            pass  # a task that refuses to end: there is nobody left to tell
        finally:
            self.close()

    # What BaseEventLoop leaves to those who have a real selector.

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class Schedule:
    """Calls at given instants, those of one instant in the order they were asked for.

    asyncio's own timers do not keep that order, which would reorder packets on an even link.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: list[tuple[Instant, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: Instant, call: Callable[..., None], *args: Any) -> None:
        """Call `call(*args)` at the instant `when`."""
        self._count += 1
        heappush(self._calls, (when, self._count, call, args))
        if self._timer is None or when < self._timer.when():
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._calls[0][0], self._run)

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._calls and self._calls[0][0] <= now:
                _, _, call, args = heappop(self._calls)
                call(*args)
        finally:
            if self._calls:
                self._arm()
