"""Count the NATs on the way out, from the hops, the routers' addresses and the mapped address."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.nat.behaviour import Measured


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop on the way to a server.

    Attributes:
        distance: IP TTL at which it answered, from 1.
        reporter: the IP that said "time exceeded"; None: silence, shown as "*".
    """

    distance: int
    reporter: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """The way to a server, as far as it showed itself.

    Attributes:
        hops:    from distance 1 up, silent ones included.
        arrived: distance at which the server itself answered; None: it did not.
        reason:  why hops are missing; None where nothing stood in the way.
    """

    hops: tuple[Hop, ...]
    arrived: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that bears on the number of NATs.

    Attributes:
        own:    the address this host sends from; None: unknown.
        mapped: the address a STUN server saw; None: unknown.
        wan:    outside addresses that the gateway named, with the protocol that named them.
        trace:  the way to the STUN server.
    """

    own: str | None
    mapped: str | None
    wan: tuple[tuple[str, str], ...]
    trace: Trace


@dataclass(frozen=True, slots=True)
class NatLayers:
    """How many NATs stand between this host and the internet.

    Attributes:
        at_least:      lower bound.
        at_most:       upper bound; None: unbounded, since hops are missing.
        carrier_grade: True: an address of 100.64.0.0/10 (RFC 6598) was seen on the way.
    """

    at_least: int
    at_most: int | None
    carrier_grade: bool


def count_layers(seen: Surroundings) -> Measured[NatLayers]:
    """Return bounds on the number of NATs, with one line of evidence for each observation."""
    return Measured.not_measured("not counted yet")
