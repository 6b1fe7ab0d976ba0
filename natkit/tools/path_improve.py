"""What would make a call direct: each change is tried on what is known, and named if it helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from natkit.nat.behaviour import Filtering
from natkit.nat.verdict import (
    ADD_IPV6,
    ASK_FOR_AN_ADDRESS,
    MAP_A_PORT,
    OPEN_UDP,
    can_call_directly,
)
from natkit.tools.path_cause import NAT_CAUSES, Cause, Fault
from natkit.tools.path_entries import PathKind
from natkit.tools.path_side import Side, SideView

KEEP_ONE_PORT = (
    "have the NAT keep one port for all destinations (endpoint-independent, static port)"
)


class Change(Enum):
    """What somebody can do."""

    MAP_A_PORT = "map-a-port"
    GET_AN_ADDRESS = "get-a-public-address"
    OPEN_FIREWALL = "open-the-firewall"
    STEADY_MAPPING = "endpoint-independent-mapping"
    ALLOW_UDP = "allow-udp"
    USE_IPV6 = "use-ipv6"
    ANOTHER_STUN_SERVER = "another-stun-server"
    ALLOW_DIRECT = "allow-direct-candidates"
    ADD_A_RELAY = "add-a-relay"


@dataclass(frozen=True, slots=True)
class Improvement:
    """A change, by whom, and in words.

    Attributes:
        what:   a clause for people, without a full stop.
        enough: by what is known, it alone makes the call direct; False: it may take more.
    """

    side: Side
    change: Change
    what: str
    enough: bool = False


def improvements(
    kind: PathKind, faults: Sequence[Fault], ours: SideView, theirs: SideView
) -> Iterator[Improvement]:
    """Yield what would help a call that is relayed, or has failed."""
    if kind not in (PathKind.RELAYED, PathKind.FAILED):
        return
    causes = {fault.cause for fault in faults}
    if causes & {Cause.PEER_SILENT, Cause.NO_CANDIDATES, Cause.WRONG_PASSWORD}:
        return
    for fault in faults:
        change = _SIMPLE.get(fault.cause)
        if change is not None:
            yield Improvement(fault.side, *change)
    for view, other in ((ours, theirs), (theirs, ours)):
        yield from _by_its_nat(view, other)
    if causes & NAT_CAUSES and not all(map(_has_ipv6, (ours, theirs))):
        yield Improvement(Side.BOTH, Change.USE_IPV6, ADD_IPV6, enough=True)


_SIMPLE = {
    Cause.STUN_NOT_ASKED: (Change.ANOTHER_STUN_SERVER, "ask a STUN server"),
    Cause.STUN_UNANSWERED: (Change.ANOTHER_STUN_SERVER, "ask a STUN server that answers"),
    Cause.RELAY_NOT_ASKED: (Change.ADD_A_RELAY, "ask a TURN server, over UDP and TCP"),
}
"""What the cause alone tells."""


def _by_its_nat(view: SideView, other: SideView) -> Iterator[Improvement]:
    """Yield the changes to one side's NAT that make a direct path, as the verdict's rule has it."""
    nat = view.nat
    if view.only_relayed:
        what = "offer more than relayed candidates (another policy)"
        yield Improvement(view.side, Change.ALLOW_DIRECT, what)
        return
    if nat.udp is False:
        yield Improvement(view.side, Change.ALLOW_UDP, OPEN_UDP)
        return
    if not (nat.udp and other.nat.udp) or other.only_relayed:
        return  # nothing at a NAT helps where UDP may not even get to it
    if not view.is_addressable or can_call_directly(nat, other.nat) is True:
        return
    opened = replace(nat, filtering=Filtering.ENDPOINT_INDEPENDENT)
    if not view.gateway_ports and can_call_directly(opened, other.nat) is True:
        yield _opening(view)
    if nat.steady is False and can_call_directly(replace(nat, steady=True), other.nat) is True:
        yield Improvement(view.side, Change.STEADY_MAPPING, KEEP_ONE_PORT, enough=True)


def _opening(view: SideView) -> Improvement:
    """Return how a side lets anybody in. A port mapped at home ends at a carrier's NAT, if any."""
    if view.nat.nat is False:
        what = "let UDP in at the firewall, at the ports of the application"
        return Improvement(view.side, Change.OPEN_FIREWALL, what, enough=True)
    if view.layers is not None and view.layers > 1:
        return Improvement(view.side, Change.GET_AN_ADDRESS, ASK_FOR_AN_ADDRESS)
    return Improvement(view.side, Change.MAP_A_PORT, MAP_A_PORT, enough=view.layers == 1)


def _has_ipv6(view: SideView) -> bool:
    return any(c.is_ipv6 and not c.is_private for c in view.candidates)
