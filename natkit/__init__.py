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
    from natkit.aio.turn_report import SessionEnded
    from natkit.errors import NatkitError, UsageError
    from natkit.ice.candidate import Candidate
    from natkit.tools.relay import Relay, serve_relay
    from natkit.turn.credentials import rest_password, rest_username
    from natkit.turn.events import RequestRefused

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "Connection",
    "ConnectionClosed",
    "ConnectionEvent",
    "NatkitError",
    "Relay",
    "RequestRefused",
    "SelectedPair",
    "SessionEnded",
    "TransportPolicy",
    "TurnServer",
    "UsageError",
    "rest_password",
    "rest_username",
    "serve_relay",
]

_HOMES = dict.fromkeys(__all__, "natkit.aio.connection") | {
    "Candidate": "natkit.ice.candidate",
    "NatkitError": "natkit.errors",
    "Relay": "natkit.tools.relay",
    "RequestRefused": "natkit.turn.events",
    "SessionEnded": "natkit.aio.turn_report",
    "TurnServer": "natkit.aio.ice_servers",
    "UsageError": "natkit.errors",
    "rest_password": "natkit.turn.credentials",
    "rest_username": "natkit.turn.credentials",
    "serve_relay": "natkit.tools.relay",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `natkit --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
