"""What `natkit turn serve` says on stderr: one line for everything an owner wants to find again.

Names that clients choose are quoted, so that a line stays a line whatever is in them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from typing import TypeAlias, assert_never

from natkit.aio.turn_report import Report, Session, SessionEnded, WorkerFailed, WorkerLost
from natkit.machine import Seconds
from natkit.turn.events import RequestRefused

HOLD: Seconds = 0.1
"""How long a report waits for others to be put into words and written with: a server that makes
thousands of allocations a second would spend a tenth of its time on doing so one by one."""

Fields: TypeAlias = dict[str, object]

Held: TypeAlias = Session | SessionEnded | RequestRefused

_PLAIN = re.compile(r"[\w.:/@+\[\]-]+")


class OwnerLog:
    """Writes lines of text or JSON.

    Args:
        as_json: JSON objects, one a line; else time, level, what, and name=value.
        write:   takes lines, one or more at once, their ends included; None: stderr does.
    """

    def __init__(
        self, *, as_json: bool = False, write: Callable[[str], object] | None = None
    ) -> None:
        self._as_json = as_json
        self._write = sys.stderr.write if write is None else write
        self._held: list[tuple[float, Held]] = []
        self._second, self._to_second = 0, ""

    def say(self, level: str, what: str, **fields: object) -> None:
        """Write one line now, behind those that wait."""
        self._write(self._waiting() + self._line(time.time(), level, what, fields))

    def report(self, report: Report) -> None:
        """Write what a service reports, within HOLD."""
        match report:
            case RequestRefused(routine=True):
                pass
            case Session() | SessionEnded() | RequestRefused():
                self._hold(report)
            case WorkerLost(worker, why, sessions):
                self.say("error", "worker lost", worker=worker, why=why, allocations=sessions)
            case WorkerFailed(worker, why):
                self.say("error", "worker failed", worker=worker, why=why)

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._held:
            self._write(self._waiting())

    def _waiting(self) -> str:
        held, self._held = self._held, []
        return "".join([self._line(at, *_words(report)) for at, report in held])

    def _hold(self, report: Held) -> None:
        self._held.append((time.time(), report))
        if len(self._held) == 1:
            asyncio.get_running_loop().call_later(HOLD, self.flush)

    def _line(self, at: float, level: str, what: str, fields: Fields) -> str:
        stamp = self._stamp(at)
        if self._as_json:
            entry = {"time": stamp, "level": level, "event": what, **fields}
            return json.dumps(entry, ensure_ascii=True) + "\n"
        words = " ".join([f"{name}={_quoted(value)}" for name, value in fields.items()])
        return f"{stamp} {level:<7} {what} {words}".rstrip() + "\n"

    def _stamp(self, at: float) -> str:
        """Return a Unix time in UTC as ISO 8601 has it, to the millisecond."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._to_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._to_second}.{int((at - second) * 1000):03}Z"


def _words(report: Held) -> tuple[str, str, Fields]:
    """Return level, what happened, and its fields."""
    match report:
        case Session():
            return "info", "allocation made", _session(report)
        case SessionEnded():
            return "info", "allocation ended", _ended(report)
        case RequestRefused():
            return "warning", "request refused", _refused(report)
        case _:
            assert_never(report)


def _session(session: Session) -> Fields:
    return {
        "user": session.user,
        "client": str(session.path.client),
        "transport": session.path.transport.value,
        "relayed": str(session.relayed),
    }


def _refused(refused: RequestRefused) -> Fields:
    return {
        "method": refused.method.name.lower(),
        "code": refused.code,
        "why": refused.why,
        "user": refused.user,
        "client": str(refused.path.client),
        "transport": refused.path.transport.value,
    }


def _ended(ended: SessionEnded) -> Fields:
    how = {
        **_session(ended.session),
        "reason": ended.reason.value,
        "seconds": round(ended.lasted, 3),
    }
    carried = ended.carried
    if carried is None:
        return how
    return {
        **how,
        "to_peers_packets": carried.to_peers,
        "to_peers_bytes": carried.to_peers_bytes,
        "from_peers_packets": carried.from_peers,
        "from_peers_bytes": carried.from_peers_bytes,
        "dropped_packets": carried.dropped,
    }


def _quoted(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
