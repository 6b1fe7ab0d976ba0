"""What the two tell each other: names, passwords and candidates, as JSON or as one line to paste.

    {"generation": 0, "ufrag": "…", "password": "…", "candidates": ["…"], "end": true,
     "until_direct": 60}

A generation is told in any number of parts, each with the candidates found since. What is not
understood is ignored, so that more can be said one day.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass

from natkit.errors import MalformedMessage
from natkit.machine import Seconds

_MOST_BYTES = 16384
_MOST_CANDIDATES = 100
_MARK = "natkit1:"
_WHERE = "natkit's docs/guide-connect.md"
_GENERATIONS = range(1000)
LONGEST_SEARCH: Seconds = 1200.0
"""For a direct path: as long as a room lasts, and restarts can be told."""


@dataclass(frozen=True, slots=True)
class Description:
    """A part of what one side has to say.

    Attributes:
        generation:   counts ICE restarts.
        ufrag:        the side's ICE user fragment in this generation.
        password:     None: it follows from the code.
        candidates:   in the form of SDP.
        end:          there will be no more in this generation.
        until_direct: for how long this side wants to go on until the path is direct, seconds.
    """

    generation: int
    ufrag: str
    password: str | None = None
    candidates: tuple[str, ...] = ()
    end: bool = False
    until_direct: Seconds = 0.0

    def to_json(self) -> str:
        """Return it as JSON, without what says nothing."""
        said = {
            "generation": self.generation,
            "ufrag": self.ufrag,
            "password": self.password,
            "candidates": list(self.candidates),
            "end": self.end,
            "until_direct": self.until_direct,
        }
        kept = {name: value for name, value in said.items() if value or name == "generation"}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read it. Raises: MalformedMessage: it is none."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            raise _malformed("message", "it is no JSON") from None
        if not isinstance(said, dict):
            raise _malformed("message", "it is no JSON object")
        candidates = said.get("candidates", [])
        if not isinstance(candidates, list) or len(candidates) > _MOST_CANDIDATES:
            raise _malformed("candidates", f"they are no list of at most {_MOST_CANDIDATES}")
        password = said.get("password")
        return cls(
            int(_number(said.get("generation"), "generation", _GENERATIONS[-1])),
            _text(said.get("ufrag"), "ufrag"),
            None if password is None else _text(password, "password"),
            tuple(_text(candidate, "candidate") for candidate in candidates),
            said.get("end") is True,
            _number(said.get("until_direct", 0), "until_direct", LONGEST_SEARCH),
        )

    def to_line(self) -> str:
        """Return it as one line to paste. A sum in it shows what a copy has lost."""
        packed = zlib.compress(self.to_json().encode(), 9)
        return _MARK + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def from_line(cls, line: str) -> Description:
        """Read a pasted line. Raises: MalformedMessage: it is none, or not all of it."""
        text = "".join(line.split())
        if not text.startswith(_MARK):
            raise _malformed("line", f"it does not begin with {_MARK}")
        packed = text.removeprefix(_MARK)
        reader = zlib.decompressobj()
        try:
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True)
            plain = reader.decompress(raw, _MOST_BYTES).decode()
        except (ValueError, zlib.error):
            raise _malformed("line", "it is damaged") from None
        if not reader.eof:
            raise _malformed("line", "its end is missing")
        return cls.from_json(plain)


def _number(value: object, where: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise _malformed(where, f"it is not a number, 0 .. {most:g}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 2048:
        raise _malformed(where, "it is not a text of 1 .. 2048 characters")
    return value


def _malformed(where: str, why: str) -> MalformedMessage:
    return MalformedMessage(where, _WHERE, why)
