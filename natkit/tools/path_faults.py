"""Why a kind of path was not to be had: whose fault, which cause, and how that is known.

Rule of the file: a cause is named where a probe or the reports show it. Where they do not, the
cause is UNKNOWN, and its sentence says what would have to be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from natkit.nat.behaviour import Filtering
from natkit.nat.verdict import can_call_directly
from natkit.tools.path_cause import Cause, Fault, unknown
from natkit.tools.path_entries import Asked, PathKind, of_type
from natkit.tools.path_report import IceReport
from natkit.tools.path_side import Basis, Side, SideView


def whole_faults(report: IceReport, ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    """Return what stands in the way of every path; empty: nothing does."""
    if report.kind is PathKind.UNDECIDED:
        return tuple(_signatures(report))
    if report.kind is not PathKind.FAILED:
        return ()
    if report.selected is not None and "consents" in report.reason:
        why = f"the path worked, and then {report.reason}"
        return (Fault(Side.BOTH, Cause.PEER_SILENT, why),)
    if report.selected is not None:
        why = f"the first component has a path, so another one failed: {report.reason}"
        return (unknown(Side.BOTH, why),)
    missing = [
        Fault(view.side, Cause.NO_CANDIDATES, f"{view.name} told no candidate at all")
        for view in (ours, theirs)
        if not view.candidates and not (view is theirs and report.unresolved)
    ]
    return tuple(missing) or tuple(_signatures(report))


def _signatures(report: IceReport) -> Iterator[Fault]:
    if any("does not sign" in note for pair in report.pairs for note in pair.notes):
        why = "answers came that the peer's password does not sign, so the two sides disagree on it"
        yield Fault(Side.BOTH, Cause.WRONG_PASSWORD, why)


# -- from host to host --------------------------------------------------------------------------


def network_faults(report: IceReport, ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    """Return why the two do not meet in one network; empty: neither has an address of one."""
    if hidden := _only_relayed(ours, theirs):
        return hidden
    if report.unresolved:
        why = f"nobody here answers for {', '.join(report.unresolved)}"
        return (Fault(theirs.side, Cause.NAME_NOT_FOUND, why),)
    inside = [any(host.is_private for host in view.hosts) for view in (ours, theirs)]
    if not all(inside):
        if not any(inside):
            return ()
        outside = theirs if inside[0] else ours
        why = f"{outside.name} is on the internet itself"
        return (Fault(Side.BOTH, Cause.DIFFERENT_NETWORKS, why),)
    here, there = ours.public_ips, theirs.public_ips
    if not here or not there:
        return (unknown(Side.BOTH, "no check between their own addresses was answered"),)
    if here & there:
        why = f"both are seen at {', '.join(sorted(here & there))}, yet do not reach each other"
        return (unknown(Side.BOTH, why),)
    seen = [f"{v.name} is seen at {', '.join(sorted(v.public_ips))}" for v in (ours, theirs)]
    return (Fault(Side.BOTH, Cause.DIFFERENT_NETWORKS, " and ".join(seen)),)


def public_faults(ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    """Return why the two do not talk between public addresses of their own."""
    if hidden := _only_relayed(ours, theirs):
        return hidden
    versions = [{h.is_ipv6 for h in v.hosts if not h.is_private} for v in (ours, theirs)]
    if not all(versions):
        return tuple(
            Fault(
                view.side, Cause.NO_PUBLIC_ADDRESS, f"{view.name} has no public address of its own"
            )
            for view, found in zip((ours, theirs), versions, strict=True)
            if not found
        )
    if not versions[0] & versions[1]:
        why = "one side's public address is IPv4, the other's IPv6"
        return (Fault(Side.BOTH, Cause.NO_COMMON_FAMILY, why),)
    return (unknown(Side.BOTH, "no check between their public addresses was answered"),)


# -- through NAT --------------------------------------------------------------------------------


def nat_faults(ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    """Return why the two do not reach each other through their NATs; empty: there are none."""
    if not any(of_type(view.candidates, "srflx") for view in (ours, theirs)) and all(
        view.is_addressable for view in (ours, theirs)
    ):
        return ()
    if hidden := _only_relayed(ours, theirs):
        return hidden
    views = (ours, theirs)
    blocked = [
        Fault(view.side, Cause.UDP_BLOCKED, _why_blocked(view), view.basis("udp"))
        for view in views
        if view.nat.udp is False
    ]
    if blocked:
        return tuple(blocked)
    nowhere = [_nowhere(view) for view in views if not view.is_addressable]
    if nowhere:
        closed = [f for view in views if view.is_addressable for f in _filter(view)]
        return (*nowhere, *closed)
    return tuple(_behaviour_faults(ours, theirs))


def _only_relayed(ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    return tuple(
        Fault(
            view.side,
            Cause.ONLY_RELAYED_CANDIDATES,
            f"{view.name} offers relayed candidates alone"
            + (", and asked for no others" if _asked_for_no_others(view) else ""),
        )
        for view in (ours, theirs)
        if view.only_relayed
    )


def _asked_for_no_others(view: SideView) -> bool:
    return view.report is not None and all(asked.kind == "turn" for asked in view.report.asked)


def _why_blocked(view: SideView) -> str:
    if view.basis("udp") is Basis.MEASURED or view.report is None:
        return f"no UDP gets out of {view.name}'s network"
    over_udp = [a for a in view.report.asked if a.over not in ("tcp", "tls")]
    silent = len({a.server for a in over_udp if a.was_waited_for})
    return (
        f"no UDP gets out of {view.name}'s network: {silent} servers did not answer over UDP, "
        "while one answered over TCP"
    )


def _nowhere(view: SideView) -> Fault:
    """Return why a side has no address that the other could send to."""
    if view.report is None:
        why = f"{view.name} told no address outside its network; why, only its own report can say"
        return Fault(view.side, Cause.NO_REFLEXIVE_CANDIDATE, why)
    asked = view.report.questions("stun")
    if not asked:
        why = f"{view.name} asked no STUN server, so it does not know its public address"
        return Fault(view.side, Cause.STUN_NOT_ASKED, why)
    errors = "; ".join(dict.fromkeys(f"{a.server}: {a.error}" for a in asked if a.error))
    why = f"{view.name} learnt no public address ({errors or 'no server saw another one'})"
    if view.nat.udp is None and all(a.is_silent for a in asked):
        why += "; whether UDP is blocked or the servers are away is unknown"
    return Fault(view.side, Cause.STUN_UNANSWERED, why)


_FILTERS = {
    Filtering.ADDRESS_AND_PORT_DEPENDENT: (Cause.PORT_FILTER, "port"),
    Filtering.ADDRESS_DEPENDENT: (Cause.ADDRESS_FILTER, "address"),
}


def _filter(view: SideView) -> Iterator[Fault]:
    """Return the filter that keeps strangers out, where it is known that there is one."""
    filtering = view.nat.filtering
    if view.nat.open is False and filtering is not None and filtering in _FILTERS:
        cause, by = _FILTERS[filtering]
        what = "firewall" if view.nat.nat is False else "NAT"
        why = f"{view.name}'s {what} filters by {by}"
        yield Fault(view.side, cause, why, view.basis("filtering"))


def _behaviour_faults(ours: SideView, theirs: SideView) -> Iterator[Fault]:
    direct = can_call_directly(ours.nat, theirs.nat)
    if direct is True:
        yield unknown(Side.BOTH, "by what is known of both NATs the checks should have got through")
        return
    views = (ours, theirs)
    for view in sorted(views, key=lambda view: view.nat.steady is not False):
        if view.nat.steady is False:
            why = f"{view.name}'s NAT gives every destination another port"
            if view.two_ports:
                why += f" ({view.two_ports})"
            yield Fault(view.side, Cause.PORT_PER_DESTINATION, why, view.basis("steady"))
        yield from _filter(view)
    for view in views:
        if view.gateway_ports:
            at = view.gateway_ports[0].at
            yield unknown(
                view.side, f"{view.name}'s gateway maps {at}, and yet nothing came in there"
            )
    if direct is None:
        yield from (unknown(v.side, why) for v in views if (why := _missing(v)))


def _missing(view: SideView) -> str:
    """Return what is not known of a side, in words; empty: nothing is missing."""
    what = "firewall" if view.nat.nat is False else "NAT"
    filters = "" if view.nat.filtering is not None else f"how {view.name}'s {what} filters"
    if view.nat.steady is not None:
        return filters
    keeps = f"whether {view.name}'s {what} keeps one port for all destinations"
    return f"{keeps}, and how it filters" if filters else keeps


# -- over relays --------------------------------------------------------------------------------


def relay_faults(ours: SideView, theirs: SideView) -> tuple[Fault, ...]:
    """Return why no relay carries the call."""
    found = [f for view in (ours, theirs) for f in _no_relay(view)]
    if found and not any(of_type(v.candidates, "relay") for v in (ours, theirs)):
        return tuple(found)
    return (*found, unknown(Side.BOTH, "no check over a relay was answered"))


def udp_relay_faults(view: SideView) -> tuple[Fault, ...]:
    """Return why a side's relay is not reached over UDP."""
    if view.nat.udp is False:
        why = _why_blocked(view)
        return (Fault(view.side, Cause.UDP_BLOCKED, why, view.basis("udp")),)
    asked = view.report.questions("turn") if view.report is not None else []
    over_udp = [a for a in asked if a.over == "udp"]
    if asked and not over_udp:
        why = f"{view.name} asked no TURN server over UDP"
        return (Fault(view.side, Cause.RELAY_NOT_ASKED, why),)
    failed = [fault for a in over_udp if (fault := _failed_relay(view, a))]
    return tuple(failed) or (unknown(view.side, "a relay over UDP was there, and did not win"),)


def _no_relay(view: SideView) -> Iterator[Fault]:
    if of_type(view.candidates, "relay"):
        return
    if view.report is None:
        why = f"{view.name} told no relayed candidate; why, only its own report can say"
        yield Fault(view.side, Cause.NO_RELAYED_CANDIDATE, why)
        return
    asked = view.report.questions("turn")
    if not asked:
        yield Fault(view.side, Cause.RELAY_NOT_ASKED, f"{view.name} asked no TURN server")
    yield from filter(None, (_failed_relay(view, a) for a in asked))


def _failed_relay(view: SideView, asked: Asked) -> Fault | None:
    if asked.error is None:
        return None
    cause = Cause.RELAY_REFUSED if asked.is_refused else Cause.RELAY_UNREACHABLE
    return Fault(view.side, cause, f"{view.name} got no relay from {asked.server}: {asked.error}")
