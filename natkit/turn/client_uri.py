"""How to name a TURN server, and the transports that a name stands for (RFC 7065).

turnURI = scheme ":" host [":" port] ["?transport=" transport]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from natkit.errors import UsageError
from natkit.stun.uri import StunUri
from natkit.turn.forwarding import Transport

PORT, TLS_PORT = 3478, 5349
"""Where no port is given: `turn:` and `turns:` (RFC 8656 §4.1)."""

_HINT = "Write it as turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]"
_SCHEME = re.compile(r"(turns?):(?!//)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TurnUri:
    """A server's name.

    Attributes:
        host:      name or IP literal, without brackets.
        port:      1 .. 65535; None: the default of the transport.
        secure:    TLS or DTLS (`turns:`).
        transport: as the URI says; None: it leaves it open.
    """

    host: str
    port: int | None
    secure: bool
    transport: Transport | None

    @classmethod
    def parse(cls, text: str) -> TurnUri:
        """Read a URI, or a bare HOST[:PORT], which means `turn:`.

        Raises: UsageError: it is neither.
        RFC:    7065 §3.1.
        """
        text = text.strip()
        scheme = _SCHEME.match(text)
        secure = scheme is not None and scheme[1].lower() == "turns"
        rest = text if scheme is None else text[scheme.end() :]
        address, mark, said = rest.partition("?transport=")
        try:
            # Beyond the scheme and the transport the two kinds of URI are the same.
            where = StunUri.parse(f"stun:{address}")
        except UsageError as error:
            raise UsageError(f"{text!r} is not a TURN URI", hint=_HINT) from error
        if mark and said.lower() not in ("udp", "tcp"):
            raise UsageError(f"{text!r} has the transport {said!r}", hint="It is udp or tcp")
        transport = _TRANSPORTS[secure, said.lower()] if mark else None
        return cls(where.host, where.port, secure, transport)

    def __str__(self) -> str:
        scheme = "turns" if self.secure else "turn"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        word = "" if self.transport is None else f"?transport={_WORDS[self.transport]}"
        return f"{scheme}:{host}{port}{word}"

    @property
    def transports(self) -> tuple[Transport, ...]:
        """What the URI asks for, in the order to try (RFC 5928 §3): UDP and TCP, or TLS.

        DTLS only where the URI says so: hardly a client speaks it.
        """
        if self.transport is not None:
            return (self.transport,)
        return (Transport.TLS,) if self.secure else (Transport.UDP, Transport.TCP)

    def port_for(self, transport: Transport) -> int:
        """Return the port to go to."""
        return self.port or default_port(transport)


def default_port(transport: Transport) -> int:
    """Return the port where none is given."""
    return TLS_PORT if transport in (Transport.TLS, Transport.DTLS) else PORT


def srv_labels(transport: Transport) -> str:
    """Return the labels to put before the host name in an SRV query (RFC 5928 §3)."""
    secure = "s" if transport in (Transport.TLS, Transport.DTLS) else ""
    return f"_turn{secure}._{'tcp' if transport.is_stream else 'udp'}"


_TRANSPORTS = {
    (False, "udp"): Transport.UDP,
    (False, "tcp"): Transport.TCP,
    (True, "udp"): Transport.DTLS,
    (True, "tcp"): Transport.TLS,
}
_WORDS = {transport: word for (_, word), transport in _TRANSPORTS.items()}
