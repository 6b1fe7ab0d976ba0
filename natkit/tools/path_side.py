"""What is known of one side of a call: by its own report, by what it told the peer, by a probe.

Rule of the file: what nobody saw stays None. What the call itself shows goes before what was
measured at some other time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from natkit.errors import UsageError
from natkit.nat.addresses import is_local
from natkit.nat.behaviour import Filtering
from natkit.nat.verdict import Behaviour
from natkit.tools.path_entries import Shown, of_type
from natkit.tools.path_report import IceReport
from natkit.tools.path_shown import shown_to_itself, shown_to_peer
from natkit.tools.probe import ProbeReport
from natkit.tools.report import SCHEMA as PROBE_SCHEMA
from natkit.tools.report import to_json


@dataclass(frozen=True, slots=True)
class KnownNat:
    """What was measured of a NAT.

    Attributes: layers: how many NATs there are at the least; None: not known.
    """

    behaviour: Behaviour
    layers: int | None = None


NatKnowledge: TypeAlias = KnownNat | Behaviour | ProbeReport | Mapping[str, Any]
"""What somebody knows of a NAT: measured behaviour, or a probe's report, also as JSON."""

NOTHING = Behaviour(None, None, None, None)


class Side(Enum):
    """Whose doing something is: the reporter's, its peer's, or that of both together."""

    LOCAL = "local"
    REMOTE = "remote"
    BOTH = "both"


class Basis(Enum):
    """How something is known."""

    MEASURED = "measured"
    """By a probe of that side."""
    REPORTED = "report"
    """The ICE reports show it."""
    UNKNOWN = "unknown"
    """It is not known."""


@dataclass(frozen=True, slots=True)
class SideView:
    """One side of the call.

    Attributes:
        name:       for sentences: "A", "the peer".
        candidates: that it has, or told.
        report:     its own; None: only what it told the peer is known.
        nat:        its behaviour, as far as it is known.
        shown:      the part of `nat` that the reports show.
        layers:     how many NATs it is behind at the least, where a probe said so.
        two_ports:  the evidence for a mapping that depends on the destination, in words.
    """

    side: Side
    name: str
    candidates: tuple[Shown, ...]
    report: IceReport | None
    nat: Behaviour
    shown: Behaviour
    layers: int | None
    two_ports: str

    @property
    def hosts(self) -> list[Shown]:
        """Its own addresses."""
        return of_type(self.candidates, "host")

    @property
    def only_relayed(self) -> bool:
        """True when all its candidates are relayed ones."""
        return bool(self.candidates) and not of_type(self.candidates, "host", "srflx", "prflx")

    @property
    def is_addressable(self) -> bool:
        """True when it told an address that means something outside its network."""
        direct = of_type(self.candidates, "host", "srflx", "prflx")
        return any(not candidate.is_private for candidate in direct)

    @property
    def public_ips(self) -> set[str]:
        """Where the world sees it, over IPv4."""
        reflexive = of_type(self.candidates, "host", "srflx", "prflx")
        told = {candidate.ip for candidate in reflexive if not candidate.is_private}
        for relay in of_type(self.candidates, "relay"):
            if relay.related is not None and not is_local(relay.related.ip):
                told.add(relay.related.ip)
        return {ip for ip in told if ":" not in ip}

    @property
    def gateway_ports(self) -> list[Shown]:
        """The public addresses that its gateway maps for it, where its own report is there."""
        asked = [] if self.report is None else self.report.questions("gateway")
        return [a.found for a in asked if a.found is not None and not a.found.is_private]

    def basis(self, aspect: str) -> Basis:
        """Return how `udp`, `steady`, `filtering` or `nat` of its behaviour is known."""
        if getattr(self.shown, aspect) is not None:
            return Basis.REPORTED
        return Basis.UNKNOWN if getattr(self.nat, aspect) is None else Basis.MEASURED


def local_view(report: IceReport, name: str, knowledge: NatKnowledge | None) -> SideView:
    """Return the side that wrote the report."""
    shown, two_ports = shown_to_itself(report)
    measured = known(knowledge)
    ours = tuple(c for c in report.local if c.type != "prflx")
    nat = _merged(shown, measured.behaviour)
    return SideView(Side.LOCAL, name, ours, report, nat, shown, measured.layers, two_ports)


def remote_view(
    report: IceReport, own: IceReport | None, name: str, knowledge: NatKnowledge | None
) -> SideView:
    """Return the other side.

    Args: report: of this side; own: of the other side, None: there is none.
    """
    shown, two_ports = shown_to_peer(report)
    if own is not None:
        at_home, evidence = shown_to_itself(own)
        shown, two_ports = _merged(at_home, shown), evidence or two_ports
    measured = known(knowledge)
    told = tuple(c for c in report.remote if c.type != "prflx")
    nat = _merged(shown, measured.behaviour)
    return SideView(Side.REMOTE, name, told, own, nat, shown, measured.layers, two_ports)


def _merged(first: Behaviour, second: Behaviour) -> Behaviour:
    """Return `first`, with `second` where it knows nothing."""
    aspects = ("udp", "steady", "filtering", "nat")
    ours = ((aspect, getattr(first, aspect)) for aspect in aspects)
    return replace(second, **{aspect: value for aspect, value in ours if value is not None})


def known(knowledge: NatKnowledge | None) -> KnownNat:
    """Return what was measured. Raises: UsageError: a document is no probe's report."""
    if isinstance(knowledge, KnownNat):
        return knowledge
    if knowledge is None or isinstance(knowledge, Behaviour):
        return KnownNat(knowledge or NOTHING)
    document = to_json(knowledge) if isinstance(knowledge, ProbeReport) else knowledge
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != PROBE_SCHEMA:
        hint = "natkit probe --json prints one"
        raise UsageError(f"this is no probe's report: its schema is {schema!r}", hint=hint)
    try:
        return _measured(document)
    except (KeyError, TypeError, ValueError) as error:
        what = f"this probe's report is damaged: {type(error).__name__} {error}"
        raise UsageError(what, hint="See docs/schema/probe-1.json") from error


def _measured(document: Mapping[str, Any]) -> KnownNat:
    family, fallback = document["families"].get("ipv4"), document["fallback"]
    layers = document["layers"]["value"]
    if family is None:
        return KnownNat(NOTHING)
    streams = fallback["tcp"]["value"] or fallback["tls"]["value"]
    several = len({server["address"] for server in document["servers"]}) > 1
    blocked = False if streams and several else None
    filtering, mapping = family["filtering"]["value"], family["mapping"]["value"]
    steady = None if mapping is None else mapping == "endpoint-independent"
    behaviour = Behaviour(
        True if family["reachable"] else blocked,
        steady,
        None if filtering is None else Filtering(filtering),
        family["nat"],
    )
    return KnownNat(behaviour, None if layers is None else layers["at_least"])
