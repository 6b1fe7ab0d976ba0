"""NAT traversal in pure Python: STUN, NAT behaviour discovery, ICE, and a lab to prove it in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from natkit.version import __version__

if TYPE_CHECKING:
    from natkit.aio.connection import (
        Connection,
        ConnectionClosed,
        ConnectionEvent,
        SelectedPair,
        TransportPolicy,
    )
    from natkit.aio.fast_loop import collect_less, room_for_sockets, run_fast
    from natkit.aio.ice_servers import TurnServer
    from natkit.aio.network import SocketNetwork
    from natkit.aio.turn_report import SessionEnded
    from natkit.cli.common import Command, emit_json, json_option, typed
    from natkit.cli.lazy import Entry, LazyRoot, cli_settings
    from natkit.cli.params import DURATION, NEW_FILE, SHARE, Number, write_new
    from natkit.cli.render import Progress, table
    from natkit.errors import (
        AuthenticationFailed,
        NatkitError,
        NetworkUnreachable,
        Unsupported,
        UsageError,
    )
    from natkit.ice.candidate import Candidate
    from natkit.lab.stage import Drop, Stage, on_stage
    from natkit.nat.verdict import Behaviour
    from natkit.network import Network, StreamEndpoint
    from natkit.tools.path_explanation import explain_path
    from natkit.tools.path_values import PathExplanation
    from natkit.tools.relay import Relay, serve_relay
    from natkit.turn.credentials import rest_password, rest_username
    from natkit.turn.events import RequestRefused
    from natkit.wire import TransportAddress

__all__ = [
    "DURATION",
    "NEW_FILE",
    "SHARE",
    "AuthenticationFailed",
    "Behaviour",
    "Candidate",
    "Command",
    "Connection",
    "ConnectionClosed",
    "ConnectionEvent",
    "Drop",
    "Entry",
    "LazyRoot",
    "NatkitError",
    "Network",
    "NetworkUnreachable",
    "Number",
    "PathExplanation",
    "Progress",
    "Relay",
    "RequestRefused",
    "SelectedPair",
    "SessionEnded",
    "SocketNetwork",
    "Stage",
    "StreamEndpoint",
    "TransportAddress",
    "TransportPolicy",
    "TurnServer",
    "Unsupported",
    "UsageError",
    "__version__",
    "cli_settings",
    "collect_less",
    "emit_json",
    "explain_path",
    "json_option",
    "on_stage",
    "rest_password",
    "rest_username",
    "room_for_sockets",
    "run_fast",
    "serve_relay",
    "table",
    "typed",
    "write_new",
]

_HOMES = dict.fromkeys(__all__, "natkit.aio.connection") | {
    "AuthenticationFailed": "natkit.errors",
    "Behaviour": "natkit.nat.verdict",
    "Candidate": "natkit.ice.candidate",
    "Command": "natkit.cli.common",
    "DURATION": "natkit.cli.params",
    "NEW_FILE": "natkit.cli.params",
    "Drop": "natkit.lab.stage",
    "Entry": "natkit.cli.lazy",
    "LazyRoot": "natkit.cli.lazy",
    "NatkitError": "natkit.errors",
    "Network": "natkit.network",
    "NetworkUnreachable": "natkit.errors",
    "Number": "natkit.cli.params",
    "PathExplanation": "natkit.tools.path_values",
    "Progress": "natkit.cli.render",
    "Relay": "natkit.tools.relay",
    "RequestRefused": "natkit.turn.events",
    "SHARE": "natkit.cli.params",
    "SessionEnded": "natkit.aio.turn_report",
    "SocketNetwork": "natkit.aio.network",
    "Stage": "natkit.lab.stage",
    "StreamEndpoint": "natkit.network",
    "TransportAddress": "natkit.wire",
    "TurnServer": "natkit.aio.ice_servers",
    "Unsupported": "natkit.errors",
    "UsageError": "natkit.errors",
    "cli_settings": "natkit.cli.lazy",
    "collect_less": "natkit.aio.fast_loop",
    "emit_json": "natkit.cli.common",
    "explain_path": "natkit.tools.path_explanation",
    "json_option": "natkit.cli.common",
    "on_stage": "natkit.lab.stage",
    "rest_password": "natkit.turn.credentials",
    "rest_username": "natkit.turn.credentials",
    "room_for_sockets": "natkit.aio.fast_loop",
    "run_fast": "natkit.aio.fast_loop",
    "serve_relay": "natkit.tools.relay",
    "table": "natkit.cli.render",
    "typed": "natkit.cli.common",
    "write_new": "natkit.cli.params",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `natkit --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
