"""What a crew and its workers say to each other (natkit.tools.relay_crew, relay_process)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from natkit.aio.turn_report import Live, Report
from natkit.errors import NatkitError
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_worker import Part
from natkit.turn.forwarding import Transport


@dataclass(frozen=True, slots=True)
class Begin:
    """To a worker, with descriptors: the table of accounts, the two maps of the kernel's table if
    it is `fast`, the links with the siblings in order, and a socket for each of `doors`, which is
    what is spoken there.
    """

    part: Part
    doors: tuple[frozenset[Transport], ...]
    draining: bool
    fast: bool


@dataclass(frozen=True, slots=True)
class Reload:
    """To a worker: go on with another configuration, which has been found good."""

    config: RelayConfig


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: make no more allocations."""


@dataclass(frozen=True, slots=True)
class AskLive:
    """To a worker: send LiveNow."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: end."""


Order: TypeAlias = Begin | Reload | Drain | AskLive | Stop


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it serves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: it could not do as told. After Begin it ends."""

    error: NatkitError


@dataclass(frozen=True, slots=True)
class Reported:
    """From a worker: what its service reports."""

    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class LiveNow:
    """From a worker: the answer to AskLive."""

    live: Live


Answer: TypeAlias = Ready | Failed | Reported | LiveNow
