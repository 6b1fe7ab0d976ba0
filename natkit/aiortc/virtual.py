"""aiortc on a clock that jumps, so that whole calls run in the simulator.

aiortc asks the system for the time, decodes in a thread, and leaves the timing of a lost handshake
to OpenSSL, which asks the system, too. `virtual_time` puts stand-ins into its modules meanwhile.
"""

from __future__ import annotations

import datetime
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from aiortc import clock, rtcdtlstransport, rtcrtpreceiver, rtcrtpsender
from OpenSSL import SSL

from natkit.machine import Instant, Seconds

EPOCH: Seconds = 1_800_000_000.0
"""What the system's clock would show when the virtual one shows 0; any time will do."""


class LockStepQueue(queue.Queue[Any]):
    """A queue whose one reader has dealt with an item before `put` returns.

    So a thread decodes in no virtual time, and what it hands back comes in the same order each run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next item; whoever asks for one has dealt with the one before."""
        self.asked.release()
        return super().get(block, timeout)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Hand an item over, and wait until the reader asks for another; None is its last."""
        self.asked.acquire()
        super().put(item, block, timeout)
        if item is not None:
            self.asked.acquire()
            self.asked.release()


class _Handshake(SSL.Connection):
    """A connection that sends lost flights again when virtual time says so.

    OpenSSL cannot be given a clock, so each lost flight costs a second of real waiting, or more.
    """

    def __init__(self, context: SSL.Context, now: Callable[[], Instant]) -> None:
        super().__init__(context)
        self.now = now
        self.due: Instant | None = None
        self.left: Seconds = 0.0

    def DTLSv1_get_timeout(self) -> Any:
        """Return the seconds until `DTLSv1_handle_timeout` is to be called; None: never."""
        left = super().DTLSv1_get_timeout()
        if left is None:
            self.due = None
            return None
        if self.due is None or left > self.left:  # OpenSSL has begun to wait anew
            # Its timeouts are whole seconds (RFC 6347 §4.2.4.1), of which hardly any has passed.
            self.due = self.now() + max(1, math.ceil(left))
        self.left = left
        return max(0.0, self.due - self.now())

    def DTLSv1_handle_timeout(self) -> bool:
        """Send the last flight again."""
        time.sleep(super().DTLSv1_get_timeout() or 0)
        self.due = None
        return bool(super().DTLSv1_handle_timeout())


@contextmanager
def virtual_time(now: Callable[[], Instant], *, seed: int = 0) -> Iterator[None]:
    """Have aiortc take the time from `now`, and chance from `seed`, inside this block.

    Peer connections that begin inside it must end inside it. It holds for the whole process.
    """

    def wall() -> float:
        return EPOCH + now()

    def calendar() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(wall(), tz=datetime.UTC)

    def connection(context: SSL.Context) -> SSL.Connection:
        return _Handshake(context, now)

    dtls = {name: getattr(SSL, name) for name in dir(SSL)} | {"Connection": connection}
    stand_ins = (
        (clock, "current_datetime", calendar),
        (rtcrtpsender, "time", SimpleNamespace(time=wall)),
        (rtcrtpreceiver, "time", SimpleNamespace(time=wall)),
        (rtcrtpsender, "random", Random(f"sender {seed}")),
        (rtcrtpreceiver, "random", Random(f"receiver {seed}")),
        (rtcrtpreceiver, "queue", SimpleNamespace(Queue=LockStepQueue)),
        (rtcdtlstransport, "SSL", SimpleNamespace(**dtls)),
    )
    with ExitStack() as stack:
        for module, name, stand_in in stand_ins:
            stack.enter_context(patch.object(module, name, stand_in))
        yield
