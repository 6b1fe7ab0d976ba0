"""What a check of a TURN server found out, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from natkit.machine import Seconds
from natkit.tools.turn_words import Problem
from natkit.turn.client_events import Allocated
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress


class State(Enum):
    """How a step went."""

    FINE = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried.

    Attributes:
        name:    "resolve", "connect", "allocate", "permit", "loop" or "reach".
        detail:  what came of it, or why it was skipped.
        seconds: how long it took, or the round trip; None: nothing to measure.
        problem: with FAILED, what is wrong.
    """

    name: str
    state: State
    detail: str = ""
    seconds: Seconds | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class TransportReport:
    """How one transport went, to one address of the server.

    Attributes:
        server:    None: no address was found.
        asked:     the URI asks for it; else it was tried to see what there is.
        allocated: what was granted; None: nothing.
    """

    transport: Transport
    server: TransportAddress | None
    asked: bool
    steps: tuple[Step, ...]
    allocated: Allocated | None = None

    @property
    def problems(self) -> list[Problem]:
        """What is wrong."""
        return [step.problem for step in self.steps if step.problem is not None]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """How one URI went."""

    uri: TurnUri
    transports: tuple[TransportReport, ...]

    @property
    def exit_code(self) -> int:
        """0 where all that was asked for works, else the code of the first problem."""
        asked = [report for report in self.transports if report.asked]
        problems = [problem for report in asked for problem in report.problems]
        return problems[0].exit_code if problems else 0
