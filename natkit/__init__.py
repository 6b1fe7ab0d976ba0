"""NAT traversal in pure Python: STUN, NAT behaviour discovery, ICE, and a lab to prove it in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natkit.aio.connection import (
        Connection,
        ConnectionClosed,
        ConnectionEvent,
        SelectedPair,
        TransportPolicy,
    )
    from natkit.aio.ice_servers import TurnServer
    from natkit.ice.candidate import Candidate
    from natkit.tools.path_explanation import explain_path
    from natkit.tools.path_values import PathExplanation

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "Connection",
    "ConnectionClosed",
    "ConnectionEvent",
    "PathExplanation",
    "SelectedPair",
    "TransportPolicy",
    "TurnServer",
    "explain_path",
]

_HOMES = dict.fromkeys(__all__, "natkit.aio.connection") | {
    "Candidate": "natkit.ice.candidate",
    "PathExplanation": "natkit.tools.path_values",
    "TurnServer": "natkit.aio.ice_servers",
    "explain_path": "natkit.tools.path_explanation",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `natkit --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
