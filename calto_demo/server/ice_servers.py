"""STUN and TURN for a client: where they are, and a login for this user and this call alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from natkit import rest_password, rest_username

LIFETIME = 2 * 3600
"""Seconds that a login is good: a call that is restarted asks for another one."""


class IceServers:
    """Mints logins of the TURN REST API.

    Args:
        secret: shared with the TURN servers.
        turn:   their URIs; "{host}" stands for what the client calls this server.
        clock:  Unix seconds.
    Attributes: turn, stun: whoever opens a relay in this process sets them.
    """

    def __init__(self, secret: str, turn: Sequence[str], clock: Callable[[], float]) -> None:
        self.secret = secret
        self.turn: Sequence[str] = turn
        self.stun: Sequence[str] = [_stun(uri) for uri in turn if _is_udp(uri)]
        self._clock = clock

    def mint(self, user: str, call: str, host: str) -> dict[str, Any]:
        """Return IceServers of the protocol."""
        expires = int(self._clock()) + LIFETIME
        username = rest_username(f"{user}:{call}", expires=expires)
        stun = [uri.replace("{host}", host) for uri in self.stun]
        turn = {
            "urls": [uri.replace("{host}", host) for uri in self.turn],
            "username": username,
            "credential": rest_password(self.secret, username),
        }
        servers: list[dict[str, Any]] = [{"urls": stun[:1]}] if stun else []
        if self.turn:
            servers.append(turn)
        return {"iceServers": servers, "stun": stun, "expires_at": expires}


def _is_udp(uri: str) -> bool:
    return uri.startswith("turn:") and not uri.endswith("transport=tcp")


def _stun(uri: str) -> str:
    return "stun:" + uri.removeprefix("turn:").partition("?")[0]
