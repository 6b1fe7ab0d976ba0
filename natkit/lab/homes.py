"""Two homes of any kind with a STUN and a TURN server between them, for `natkit lab matrix`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from natkit.lab.scenarios import AD, ADF, APD, APDF, EI, EIF, INTERNET, STUN
from natkit.lab.topology import (
    Firewall,
    Host,
    Link,
    Nat,
    PortPolicy,
    Router,
    Segment,
    Topology,
)
from natkit.nat.behaviour import Filtering
from natkit.nat.verdict import Behaviour


@dataclass(frozen=True, slots=True)
class Home:
    """What stands between somebody and the internet.

    Attributes:
        nat:         of the router at home; None: no router, the host is on the internet.
        carrier:     a second NAT, between that router and the internet.
        udp_blocked: the router lets no UDP through.
    """

    nat: Nat | None = None
    carrier: Nat | None = None
    udp_blocked: bool = False

    @property
    def nats(self) -> list[Nat]:
        """The NATs, the innermost first."""
        return [nat for nat in (self.nat, self.carrier) if nat is not None]

    @property
    def behaviour(self) -> Behaviour:
        """What a probe from inside must find."""
        if self.udp_blocked:
            return Behaviour(udp=False, steady=None, filtering=None, nat=None)
        steady = all(nat.mapping is EI for nat in self.nats)
        # A packet from outside has to pass every filter, so the strictest counts.
        strictest = max(
            (nat.filtering for nat in self.nats), key=list(Filtering).index, default=EIF
        )
        return Behaviour(udp=True, steady=steady, filtering=strictest, nat=bool(self.nats))


HOMES = {
    "none": Home(),
    "full-cone": Home(Nat(filtering=EIF)),
    "address-restricted": Home(Nat(filtering=ADF)),
    "port-restricted": Home(Nat()),
    "address-dependent": Home(Nat(AD, APDF, PortPolicy.HASHED, (30000, 49999))),
    "symmetric": Home(Nat(APD, APDF, PortPolicy.RANDOM)),
    "symmetric-sequential": Home(Nat(APD, APDF, PortPolicy.SEQUENTIAL, (40000, 40511))),
    "symmetric-eif": Home(Nat(APD, EIF, PortPolicy.RANDOM)),
    "symmetric-adf": Home(Nat(APD, ADF, PortPolicy.RANDOM)),
    "double": Home(Nat(), carrier=Nat()),
    "udp-blocked": Home(Nat(), udp_blocked=True),
}
"""The kinds of the matrix, from the most open one on."""


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where a home is: the third number of its addresses at home, the last one of those outside."""

    host: str
    number: int
    link: Link

    @property
    def outside(self) -> str:
        return f"203.0.113.{99 + self.number}"

    def built(self, home: Home) -> Iterator[Segment | Host | Router]:
        if home.nat is None:
            yield Host(self.host, "internet", (self.outside,), self.link)
            return
        inside, n = f"home{self.number}", self.number
        yield Segment(inside, f"10.0.{n}.0/24")
        yield Host(self.host, inside, (f"10.0.{n}.2",))
        firewall, gateway = Firewall(udp_blocked=home.udp_blocked), (f"10.0.{n}.1",)
        if home.carrier is None:
            outside = ("internet", (self.outside,), self.link)
        else:
            between = f"carrier{n}"
            yield Segment(between, f"100.64.{n}.0/24")
            yield Router(
                f"isp-{self.host}",
                between,
                "internet",
                (f"100.64.{n}.1",),
                (self.outside,),
                home.carrier,
                link=self.link,
            )
            outside = (between, (f"100.64.{n}.2",), Link(latency=0.002))
        segment, addresses, link = outside
        yield Router(
            f"r-{self.host}", inside, segment, gateway, addresses, home.nat, firewall, link
        )


def two_homes(a: Home, b: Home, *, loss: float = 0.0) -> Topology:
    """Return alice at home in `a` and bob in `b`.

    Args: loss: 0 .. 1, on each one's way to the internet, each way.
    """
    link = Link(loss=loss)
    parts = [*_Plot("alice", 1, link).built(a), *_Plot("bob", 2, link).built(b)]
    servers = (
        Host("stun", "internet", STUN, Link(latency=0.0)),
        Host("stun2", "internet", ("203.0.113.20",), Link(latency=0.0)),
    )
    return Topology(
        (INTERNET, *(part for part in parts if isinstance(part, Segment))),
        (*(part for part in parts if isinstance(part, Host)), *servers),
        tuple(part for part in parts if isinstance(part, Router)),
    )
