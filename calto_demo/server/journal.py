"""The log: a line for each thing, as text for people or JSON for programs, on stderr."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from calto_demo.server.frames import write

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LOUD = ("uvicorn", "httpx", "httpx2", "alembic", "aiortc", "aioice")


class Lines(logging.Formatter):
    """One line a record, whatever is in it: names that clients choose cannot begin another."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level, what = record.levelname.lower(), record.getMessage()
        fields: dict[str, Any] = {k: v for k, v in vars(record).items() if k not in _USUAL}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._as_json:
            line = {"time": at, "level": level, "from": record.name, "what": what, **fields}
            return write(line).decode()
        return f"{at} {level} {what}" + "".join(f" {k}={v!r}" for k, v in fields.items())


def _is_news(record: logging.LogRecord) -> bool:
    # uvicorn says so of each socket that was refused with an answer, as if there had been none.
    return "without completing handshake" not in record.msg


def write_log(*, as_json: bool) -> None:
    """Let every part of the program write its log this way."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(as_json=as_json))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
