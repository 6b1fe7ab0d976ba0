"""What a client asked for and does not get, in one shape for HTTP and the WebSocket."""

from __future__ import annotations

from typing import Any

STATUS = {
    "bad-request": 400,
    "bad-frame": 400,
    "no-token": 401,
    "bad-token": 401,
    "expired-token": 401,
    "signed-out": 401,
    "bad-origin": 403,
    "not-found": 404,
    "no-such-user": 404,
    "no-such-call": 404,
    "wrong-state": 409,
    "engaged": 409,
    "call-exists": 409,
    "too-slow": 408,
    "too-large": 413,
    "too-many": 429,
    "failed": 500,
    "draining": 503,
}
"""Every code there is, and its status over HTTP (docs/calto-protocol.md)."""


class Refused(Exception):
    """It is not done. Attributes: code: a key of STATUS.  wait: seconds until it may be."""

    def __init__(
        self, code: str, message: str, hint: str | None = None, *, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.wait = code, message, hint, wait

    @property
    def status(self) -> int:
        """The status over HTTP."""
        return STATUS[self.code]

    def said(self) -> dict[str, Any]:
        """Return what the client is told."""
        return {"code": self.code, "message": self.message, "hint": self.hint}
