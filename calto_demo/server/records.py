"""Calls as one side's list of recent calls has them."""

from __future__ import annotations

from typing import Any

from calto_demo.server.call import Call
from calto_demo.server.people import User


def record(
    call: Call, user: str, peer: User, paths: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    """Return a Record of the protocol, for `user`, who was in the call with `peer`."""
    return {
        "call": call.id,
        "direction": "out" if user == call.caller else "in",
        "peer": peer._asdict(),
        "state": call.state,
        "reason": call.reason,
        "path": call.path,
        "started_at": call.started_at,
        "ringing_at": call.ringing_at,
        "answered_at": call.answered_at,
        "connected_at": call.connected_at,
        "ended_at": call.ended_at,
        "mine": paths.get((call.id, user)),
        "theirs": paths.get((call.id, peer.id)),
    }
