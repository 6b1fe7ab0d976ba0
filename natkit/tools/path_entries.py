"""The entries of an ICE report (natkit.ice/1) as values: candidates, questions to servers, pairs.

Each is read from JSON that may be anybody's: what does not fit raises TypeError, ValueError,
KeyError or IndexError.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from natkit.ice.inquiry import Cause
from natkit.ice.pair import Side as Nominator
from natkit.nat.addresses import is_local
from natkit.wire import TransportAddress

T = TypeVar("T")


class PathKind(Enum):
    """How two sides talk, the best first."""

    SAME_NETWORK = "same-network"
    """From host to host, at an address that means something only there."""
    DIRECT = "direct"
    """From host to host, at public addresses."""
    THROUGH_NAT = "direct-through-nat"
    """Directly, with at least one side at an address that a NAT gave."""
    RELAYED = "relayed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """The search is not over."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A candidate as a report shows it.

    Attributes:
        ip:      an address, or the mDNS name that hides it.
        related: the base of a reflexive, the mapped address of a relayed one; None: not told.
        server:  who told it, for a candidate of the reporter's.
        priority: 0 where a pair or an inquiry names the candidate.
    """

    type: str
    ip: str
    port: int
    transport: str = "udp"
    related: TransportAddress | None = None
    server: str | None = None
    priority: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Shown:
        """Read an entry of "local" or "remote"."""
        return cls(
            read_as(str, told["type"]),
            read_as(str, told["address"]),
            read_as(int, told["port"]),
            read_as(str, told["transport"]).lower(),
            _related(told["related"]),
            _text_or_none(told.get("server")),
            read_as(int, told["priority"]),
        )

    @classmethod
    def parse(cls, text: str) -> Shown:
        """Read what pairs and inquiries name a candidate by: "srflx 203.0.113.7:4000"."""
        kind, where, *rest = text.split(" ")
        ip, _, port = where.rpartition(":")
        return cls(kind, ip.strip("[]"), int(port), "tcp" if rest[:1] == ["TCP"] else "udp")

    @property
    def at(self) -> TransportAddress:
        """Where it is."""
        return TransportAddress(self.ip, self.port)

    def __str__(self) -> str:
        return f"{self.type} {self.at}"

    @property
    def is_name(self) -> bool:
        """True where a name hides the address."""
        try:
            ipaddress.ip_address(self.ip.partition("%")[0])
        except ValueError:
            return True
        return False

    @property
    def is_private(self) -> bool:
        """True for an address of one's own network; a name hides none but such."""
        return self.is_name or is_local(self.ip)

    @property
    def is_ipv6(self) -> bool:
        """True for IPv6; a name is taken for IPv4, which nearly all of them hide."""
        return ":" in self.ip


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a server.

    Attributes:
        kind: "stun", "turn", "host" or "gateway".
        base: where it was asked from; None: a socket of its own.
        error: in words; None: it was answered.
        cause: of the error.
    """

    kind: str
    server: str
    base: TransportAddress | None
    found: Shown | None
    error: str | None
    cause: Cause | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Asked:
        """Read an entry of "inquiries"."""
        base = row["base"]
        found = None if row["found"] is None else Shown.parse(row["found"])
        if found is not None and found.is_name:
            raise ValueError(f"no server sees {found}")
        return cls(
            read_as(str, row["kind"]),
            read_as(str, row["server"]),
            None if base is None else Shown.parse(f"host {base}").at,
            found,
            _text_or_none(row["error"]),
            None if row["cause"] is None else Cause(row["cause"]),
        )

    @property
    def host(self) -> str:
        """The server's name or address, whatever the port: "stun.example.org"."""
        where = self.server.partition(" ")[0]
        return where.removeprefix("stun:").rpartition(":")[0] or where

    @property
    def over(self) -> str:
        """How a TURN server was asked: "udp", "tcp", "tls"."""
        return self.server.rpartition(" over ")[2]

    @property
    def is_silent(self) -> bool:
        """True when nothing came back, neither an answer nor an error."""
        return self.cause in (Cause.TIMEOUT, Cause.NOT_AWAITED)

    @property
    def was_waited_for(self) -> bool:
        """True for silence through all the time there is, not only until others had answered."""
        return self.cause is Cause.TIMEOUT

    @property
    def is_refused(self) -> bool:
        """True when the server said no, or wants another login."""
        return self.cause in (Cause.REFUSED, Cause.LOGIN)


@dataclass(frozen=True, slots=True)
class Tried:
    """A pair with what became of it; numbers of checks as the reporter counts them."""

    number: int
    local: Shown
    seen_as: Shown | None
    remote: Shown
    priority: int
    state: str
    relayed: bool
    nominated: bool
    nominated_by: Nominator | None
    sent: int
    answered: int
    received: int
    round_trip_ms: float | None
    worked_ms: float | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Tried:
        """Read an entry of "pairs"."""
        worked = [at for at, state in row["changes"] if state == "succeeded"]
        by, seen_as = row["nominated_by"], row["seen_as"]
        return cls(
            read_as(int, row["number"]),
            Shown.parse(row["local"]),
            None if seen_as is None else Shown.parse(seen_as),
            Shown.parse(row["remote"]),
            read_as(int, row["priority"]),
            read_as(str, row["state"]),
            read_as(bool, row["relayed"]),
            read_as(bool, row["nominated"]),
            None if by is None else Nominator(by),
            read_as(int, row["checks_sent"]),
            read_as(int, row["checks_answered"]),
            read_as(int, row["checks_received"]),
            _number_or_none(row["round_trip_ms"]),
            float(worked[0]) if worked else None,
            tuple(read_as(str, what) for _, what in row["notes"]),
        )

    @property
    def is_tcp(self) -> bool:
        """True when it is a TCP connection."""
        return self.local.transport == "tcp"

    @property
    def works(self) -> bool:
        """True when the latest check was answered."""
        return self.state == "succeeded"

    @property
    def kind(self) -> PathKind:
        """What kind of path it is, or would be."""
        ours = self.seen_as or self.local
        if self.relayed:
            return PathKind.RELAYED
        if ours.type != "host" or self.remote.type == "srflx":
            return PathKind.THROUGH_NAT
        if self.remote.is_private:
            # Peer-reflexive as well: no NAT gives private addresses towards another network.
            return PathKind.SAME_NETWORK
        if self.remote.type == "prflx" and not self.remote.is_ipv6:
            return PathKind.THROUGH_NAT
        towards_us = not ours.is_private or self.works
        return PathKind.DIRECT if towards_us else PathKind.THROUGH_NAT


def of_type(candidates: Iterable[Shown], *types: str) -> list[Shown]:
    """Return the candidates of some types."""
    return [candidate for candidate in candidates if candidate.type in types]


def read_as(kind: type[T], value: object) -> T:
    """Return `value`, which must be of that kind. Raises: TypeError: it is not."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else read_as(str, value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _related(told: Any) -> TransportAddress | None:
    if told is None or told[1] is None:
        return None
    ip, port = read_as(str, told[0]), read_as(int, told[1])
    try:
        # The unspecified address hides it (a browser's mDNS, or a relay-only policy).
        hidden = ipaddress.ip_address(ip).is_unspecified
    except ValueError:
        hidden = True  # by a name
    return None if hidden else TransportAddress(ip, port)
