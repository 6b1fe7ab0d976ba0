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
    from natkit.aio.ice_servers import TurnServer
    from natkit.aio.network import SocketNetwork
    from natkit.cli.common import Command, emit_json, json_option
    from natkit.cli.lazy import Entry, LazyRoot
    from natkit.cli.lazy import settings as cli_settings
    from natkit.cli.params import DURATION, SHARE
    from natkit.cli.render import Progress, table
    from natkit.dataplane import Counters
    from natkit.errors import NatkitError, NetworkUnreachable, Unsupported, UsageError
    from natkit.ice.candidate import Candidate
    from natkit.lab.stage import Drop, Stage, kinds_of, on_stage
    from natkit.network import Network, StreamEndpoint
    from natkit.tools.relay import serve as serve_relay
    from natkit.tools.relay_config import read_config as relay_config
    from natkit.wire import TransportAddress

_HOMES = {
    "natkit.aio.connection": (
        "Connection",
        "ConnectionClosed",
        "ConnectionEvent",
        "SelectedPair",
        "TransportPolicy",
    ),
    "natkit.aio.ice_servers": ("TurnServer",),
    "natkit.aio.network": ("SocketNetwork",),
    # The frame of a command line whose errors and options are like natkit's.
    "natkit.cli.common": ("Command", "emit_json", "json_option"),
    "natkit.cli.lazy": ("Entry", "LazyRoot", "cli_settings"),
    "natkit.cli.params": ("DURATION", "SHARE"),
    "natkit.cli.render": ("Progress", "table"),
    "natkit.dataplane": ("Counters",),
    "natkit.errors": ("NatkitError", "NetworkUnreachable", "Unsupported", "UsageError"),
    "natkit.ice.candidate": ("Candidate",),
    "natkit.lab.stage": ("Drop", "Stage", "kinds_of", "on_stage"),
    "natkit.network": ("Network", "StreamEndpoint"),
    "natkit.tools.relay": ("serve_relay",),
    "natkit.tools.relay_config": ("relay_config",),
    "natkit.wire": ("TransportAddress",),
}
_THERE = {"cli_settings": "settings", "serve_relay": "serve", "relay_config": "read_config"}
"""What has a longer name here than where it is at home, among others of its kind."""

_PLACES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "DURATION",
    "SHARE",
    "Candidate",
    "Command",
    "Connection",
    "ConnectionClosed",
    "ConnectionEvent",
    "Counters",
    "Drop",
    "Entry",
    "LazyRoot",
    "NatkitError",
    "Network",
    "NetworkUnreachable",
    "Progress",
    "SelectedPair",
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
    "emit_json",
    "json_option",
    "kinds_of",
    "on_stage",
    "relay_config",
    "serve_relay",
    "table",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `natkit --help` needs none of them."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), _THERE.get(name, name))
