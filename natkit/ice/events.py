"""What an ICE agent reports: frozen facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from natkit.ice.candidate import Candidate
from natkit.ice.pair import Path


class State(Enum):
    """How the connection is doing; the words are those of WebRTC's RTCIceTransportState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    """There is a path for every component, and the peer checks, too; a better one may be found."""
    COMPLETED = "completed"
    """The path has been nominated: it stays."""
    DISCONNECTED = "disconnected"
    """Nothing has been heard of the peer for a while; it may come back."""
    FAILED = "failed"
    """No path was found, or the peer no longer consents; a restart may help."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The connection is doing better or worse.

    Attributes: reason: in words, where the state is a bad one; else empty.
    """

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Data of a component takes another path from now on.

    Attributes:
        local, remote: the candidates at its ends, as the other side sees ours.
        nominated:     it stays; else a better one may replace it.
    """

    component: int
    local: Candidate
    remote: Candidate
    nominated: bool


@dataclass(frozen=True, slots=True)
class RoleSwitched:
    """Both sides had the same role, and this one has given way."""

    controlling: bool


@dataclass(frozen=True, slots=True)
class CandidatesFreed:
    """Whatever does not belong to a chosen path is needed no more (RFC 8445 §8.3)."""

    chosen: frozenset[Path]


AgentEvent: TypeAlias = StateChanged | PairSelected | RoleSwitched | CandidatesFreed
