"""How to name a STUN server, and in which order to try what DNS says about it.

    stunURI = scheme ":" host [":" port] ["?transport=" transport]

`stun:` is UDP unless told otherwise, `stuns:` is TLS. RFC 7064 itself has no "?transport="; it
came with the TURN URIs (RFC 7065), and everybody writes it on both.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from natkit.errors import UsageError


class Transport(Enum):
    """What carries the messages; the value is the word for people."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"

    @property
    def port(self) -> int:
        """The port where none is given (RFC 8489 §18.6)."""
        return 5349 if self is Transport.TLS else 3478

    @property
    def srv(self) -> str:
        """The labels to put before the host name in an SRV query (RFC 8489 §8.1)."""
        return {"udp": "_stun._udp", "tcp": "_stun._tcp", "tls": "_stuns._tcp"}[self.value]


_URI = re.compile(
    r"(?:(?P<scheme>stuns?):)?"
    r"(?:\[(?P<v6>[0-9a-f:.]+(?:%[^\]\s]+)?)\]|(?P<host>[^\s:/?#\[\]@]+))"
    r"(?::(?P<port>\d{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE | re.ASCII,
)
_HINT = "Write it as stun:HOST[:PORT] or stuns:HOST[:PORT], an IPv6 address in brackets"


@dataclass(frozen=True, slots=True)
class StunUri:
    """A server's name.

    Attributes:
        host: name or IP literal, without brackets.
        port: 1 .. 65535; None: what DNS says, or the default of the transport.
    """

    host: str
    port: int | None
    transport: Transport

    @classmethod
    def parse(cls, text: str) -> StunUri:
        """Read a URI, or a bare HOST[:PORT], which means `stun:`.

        Raises: UsageError: it is neither.
        RFC:    7064 §3.1.
        """
        match = _URI.fullmatch(text.strip())
        if match is None:
            bare = text.strip().removeprefix("stun:")
            if not _is_ipv6(bare):
                raise UsageError(f"{text!r} is not a STUN URI", hint=_HINT)
            return cls(bare, None, Transport.UDP)
        scheme, v6, host, port, transport = (part and part.lower() for part in match.groups())
        if v6 and not _is_ipv6(v6.partition("%")[0]):
            raise UsageError(f"{text!r} has no IPv6 address in its brackets", hint=_HINT)
        if port is not None and not 1 <= int(port) <= 65535:
            raise UsageError(f"{text!r} has a port that is not in 1 .. 65535")
        if scheme == "stuns" and transport == "udp":
            raise UsageError(f"{text!r} asks for DTLS, which natkit does not speak", hint=_HINT)
        over = Transport.TLS if scheme == "stuns" else Transport(transport or "udp")
        return cls(v6 or host, int(port) if port else None, over)

    def __str__(self) -> str:
        scheme = "stuns" if self.transport is Transport.TLS else "stun"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        transport = "?transport=tcp" if self.transport is Transport.TCP else ""
        return f"{scheme}:{host}{port}{transport}"

    @property
    def is_literal(self) -> bool:
        """True when the host is an IP address, which DNS has nothing to say about."""
        return is_ip(self.host)


class SrvRecord(NamedTuple):
    """One answer to an SRV query (RFC 2782). A lower priority is tried first."""

    priority: int
    weight: int
    port: int
    target: str


def in_order(records: Iterable[SrvRecord], randomness: Callable[[int], bytes]) -> list[SrvRecord]:
    """Return SRV records in the order to try them: by priority, then by weighted lot.

    Args: randomness: returns that many random bytes.
    RFC:  2782, "Usage rules".
    """
    # Weightless ones first: the lot below gives them a small chance only there.
    left = sorted(records, key=lambda record: (record.priority, record.weight > 0))
    ordered = []
    while left:
        equals = [record for record in left if record.priority == left[0].priority]
        lot = int.from_bytes(randomness(4), "big") % (sum(r.weight for r in equals) + 1)
        for record in equals:
            lot -= record.weight
            if lot <= 0:
                break
        ordered.append(record)
        left.remove(record)
    return ordered


def is_ip(host: str) -> bool:
    """Tell whether `host` is an address, perhaps with a zone, rather than a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
