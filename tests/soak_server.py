"""natkit's own command line with short lifetimes, so that what expires does so during a soak.

    python -m tests.soak_server turn serve ...

Everything else is the real program. On SIGUSR1 it writes how many tasks it has, since nothing in
production needs to tell.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import sys

from natkit.__main__ import run
from natkit.machine import Seconds

LIFETIMES: dict[str, Seconds] = {
    "natkit.turn.wanted.DEFAULT_LIFETIME": 10,
    "natkit.turn.allocation.PERMISSION_LIFETIME": 5,
    "natkit.turn.allocation.CHANNEL_LIFETIME": 7,
    "natkit.turn.allocation.CHANNEL_QUARANTINE": 2,
    "natkit.turn.allocate.RESERVATION_LIFETIME": 3,
    "natkit.turn.streams.PATIENCE": 4,
    "natkit.turn.register.MEMORY": 4,
    "natkit.aio.turn_door.SILENT_LIMIT": 4,
}
"""Seconds: a sixtieth of the real ones for most; in the order of the real ones for all."""

LONGEST: Seconds = max(LIFETIMES.values())

TASKS = "soak: tasks "


def shorten() -> None:
    """Put the short lifetimes in the place of the real ones."""
    for name, seconds in LIFETIMES.items():
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(module)
        assert getattr(owner, constant) > seconds, name
        setattr(owner, constant, seconds)


def tell_tasks(*_: object) -> None:
    """Write the number of tasks that have not ended."""
    found = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
    sys.stderr.write(f"{TASKS}{sum(not task.done() for task in found)}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    shorten()
    signal.signal(signal.SIGUSR1, tell_tasks)
    run()
