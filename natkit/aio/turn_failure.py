"""Where a TURN server is, and what a failure there is as an error for whoever called."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable
from natkit.network import Tls
from natkit.turn.client_events import Cause, Failure
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

EXPLAINED = frozenset({300, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 508})
"""Error codes that `natkit explain` has words for."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a TURN server is.

    Attributes:
        transport: UDP, TCP or TLS.
        tls:       how to check it, with TLS.
    """

    address: TransportAddress
    transport: Transport = Transport.UDP
    tls: Tls | None = None


def error_of(failure: Failure, server: Server) -> NatkitError:
    """Return the failure as an error for whoever called."""
    at = f"{server.address} over {server.transport.value}"
    match failure.cause:
        case Cause.SILENT:
            return NetworkUnreachable(f"no answer from {at}")
        case Cause.UNREACHABLE | Cause.DISCONNECTED:
            why = failure.reason or None
            return NetworkUnreachable(f"lost {at}: {failure.cause.value}", why=why)
        case Cause.NO_LOGIN | Cause.BID_DOWN | Cause.UNPROVED:
            return AuthenticationFailed(f"cannot use {at}", why=failure.cause.value)
        case Cause.UNUSABLE:
            return NatkitError(f"cannot use the answer of {at}", why=failure.reason or None)
        case Cause.REFUSED:
            kind = AuthenticationFailed if failure.code in (401, 441) else NatkitError
            what = f"{at} refused {failure.method.name} with error {failure.code}"
            if failure.code not in EXPLAINED:
                return kind(what, why=failure.reason or None)
            return kind(
                what, why=failure.reason or None, hint=f"See: natkit explain {failure.code}"
            )
