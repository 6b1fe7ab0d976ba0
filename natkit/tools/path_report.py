"""An ICE report (natkit.ice/1) read back.

It may come from a file that somebody sent, so what is no report is a `UsageError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from natkit.errors import UsageError
from natkit.ice.events import State
from natkit.ice.report import SCHEMA
from natkit.tools.path_entries import Asked, PathKind, Shown, Tried, read_as


class IceReport:
    """What `Connection.report` returned.

    Attributes:
        state, reason: of the agent.
        local, remote: the candidates of the reporter and of its peer.
        asked:         whom the reporter asked for candidates.
        pairs:         of its first component, the best first.
        unresolved:    candidates of the peer whose names nobody answered for.
    Raises: UsageError: it is no such report.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        schema = document.get("schema") if isinstance(document, Mapping) else None
        if schema != SCHEMA:
            hint = "natkit.Connection.report() returns one; natkit connect --json has one, too"
            raise UsageError(f"this is no ICE report: its schema is {schema!r}", hint=hint)
        try:
            self._read(document)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"this ICE report is damaged: {type(error).__name__} {error}"
            raise UsageError(what, hint="See docs/schema/ice-1.json") from error

    def _read(self, document: Mapping[str, Any]) -> None:
        self.state = State(document["state"])
        self.reason = str(document["reason"])
        self.local = tuple(map(Shown.of, document["local"]))
        self.remote = tuple(map(Shown.of, document["remote"]))
        self.asked = tuple(map(Asked.of, document["inquiries"]))
        rows = [row for row in document["pairs"] if row["component"] == 1]
        self.pairs = tuple(map(Tried.of, rows))
        self.unresolved = tuple(read_as(str, it) for it in document.get("unresolved", ()))
        numbers = [row["number"] for row in document["pairs"]]
        self._selected = [numbers[numbers.index(number)] for number in document["selected"]]

    @property
    def selected(self) -> Tried | None:
        """The pair in use."""
        return next((pair for pair in self.pairs if pair.number in self._selected), None)

    @property
    def kind(self) -> PathKind:
        """What came of the search."""
        if self.state is State.FAILED:
            return PathKind.FAILED
        return PathKind.UNDECIDED if self.selected is None else self.selected.kind

    def of_kind(self, kind: PathKind) -> Iterator[Tried]:
        """Return the pairs of one kind."""
        return (pair for pair in self.pairs if pair.kind is kind)

    def questions(self, kind: str) -> list[Asked]:
        """Return the questions to servers of a kind."""
        return [asked for asked in self.asked if asked.kind == kind]
