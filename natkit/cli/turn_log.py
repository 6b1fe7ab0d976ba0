"""What `natkit turn serve` says on stderr: one line for everything an owner wants to find again.

Names that clients choose are quoted, so that a line stays a line whatever is in them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from natkit.aio.turn_report import Report, Session, SessionEnded, WorkerFailed, WorkerLost
from natkit.turn.events import RequestRefused

Fields: TypeAlias = dict[str, object]

_PLAIN = re.compile(r"[\w.:/@+\[\]-]+")


class OwnerLog:
    """Writes lines of text or JSON.

    Args:
        as_json: JSON objects, one a line; else time, level, what, and name=value.
        write:   takes each line, its end included; None: stderr does.
    """

    def __init__(
        self, *, as_json: bool = False, write: Callable[[str], object] | None = None
    ) -> None:
        self._as_json = as_json
        self._write = sys.stderr.write if write is None else write

    def say(self, level: str, what: str, **fields: object) -> None:
        """Write one line."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._as_json:
            entry = {"time": time, "level": level, "event": what, **fields}
            self._write(json.dumps(entry, ensure_ascii=True) + "\n")
        else:
            words = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
            self._write(f"{time} {level:<7} {what} {words}".rstrip() + "\n")

    def report(self, report: Report) -> None:
        """Write what a service reports."""
        match report:
            case Session():
                self.say("info", "allocation made", **_session(report))
            case SessionEnded():
                self.say("info", "allocation ended", **_ended(report))
            case WorkerLost(worker, why, sessions):
                self.say("error", "worker lost", worker=worker, why=why, allocations=sessions)
            case WorkerFailed(worker, why):
                self.say("error", "worker failed", worker=worker, why=why)
            case RequestRefused(routine=True):
                pass
            case RequestRefused(path, method, code, why, user):
                self.say(
                    "warning",
                    "request refused",
                    method=method.name.lower(),
                    code=code,
                    why=why,
                    user=user,
                    client=str(path.client),
                    transport=path.transport.value,
                )


def _session(session: Session) -> Fields:
    return {
        "user": session.user,
        "client": str(session.path.client),
        "transport": session.path.transport.value,
        "relayed": str(session.relayed),
    }


def _ended(ended: SessionEnded) -> Fields:
    carried = ended.carried
    return {
        **_session(ended.session),
        "reason": ended.reason.value,
        "seconds": round(ended.lasted, 3),
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
