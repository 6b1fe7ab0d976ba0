"""What an ICE report shows of the NATs at both ends, with the evidence in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from natkit.nat.addresses import from_outside
from natkit.nat.verdict import Behaviour
from natkit.tools.path_entries import Asked, Shown, of_type
from natkit.tools.path_report import IceReport
from natkit.wire import TransportAddress

Answer: TypeAlias = tuple[Asked, TransportAddress]
"""A question to a server, and where it saw us."""


def shown_to_itself(report: IceReport) -> tuple[Behaviour, str]:
    """Return what the reporter's questions and pairs show of its own NAT."""
    answers: dict[TransportAddress, list[Answer]] = {}
    for asked in report.questions("stun"):
        if asked.found is not None and asked.base is not None:
            answers.setdefault(asked.base, []).append((asked, asked.found.at))
    outside = {base: from_outside(seen) for base, seen in answers.items()}
    translated = [at != base for base, seen in outside.items() for _, at in seen]
    nat = any(translated) if translated else None
    behaviour = Behaviour(_udp(report), _steady(outside.values()), None, nat)
    for base, seen in outside.items():
        if len({at for _, at in seen}) > 1:
            listed = " and ".join(f"{asked.server} at {at}" for asked, at in seen)
            return behaviour, f"{base} is seen by {listed}"
    if evidence := _seen_by_relay(report, outside):
        return replace(behaviour, steady=False), evidence
    return behaviour, ""


def _seen_by_relay(report: IceReport, answers: Mapping[TransportAddress, Sequence[Answer]]) -> str:
    """Return the evidence that a relay saw a base at another port than STUN; empty: none did."""
    for candidate in of_type(report.local, "prflx"):
        seen = () if candidate.related is None else answers.get(candidate.related, ())
        if seen and _beyond_relay(candidate, report):
            at = f"at {seen[0][1]} by STUN and at {candidate.at} by a relay"
            return f"{candidate.related} is seen {at}"
    return ""


def _steady(answers: Iterable[Sequence[Answer]]) -> bool | None:
    """Return whether servers see each base at one place; None: no base was seen by two hosts."""
    known: bool | None = None
    for seen in answers:
        if len({at for _, at in seen}) > 1:
            return False
        if len({asked.host for asked, _ in seen}) > 1:
            known = True
    return known


def _beyond_relay(candidate: Shown, report: IceReport) -> bool:
    """Tell whether the peer's relay saw it: then no NAT of the peer's has changed the port."""
    relays = {relay.at for relay in of_type(report.remote, "relay")}
    return any(
        pair.remote.at in relays and pair.seen_as is not None and pair.seen_as.at == candidate.at
        for pair in report.pairs
    )


def _udp(report: IceReport) -> bool | None:
    """Return whether UDP gets out; False only where several servers are silent and TCP works."""
    questions = report.questions("stun") + [a for a in report.questions("turn") if a.over == "udp"]
    direct = [p for p in report.pairs if p.local.type != "relay" and not p.is_tcp]
    if any(asked.found for asked in questions) or any(p.answered or p.received for p in direct):
        return True
    streams = [a for a in report.questions("turn") if a.over in ("tcp", "tls") and a.found]
    silent = {asked.host for asked in questions if asked.was_waited_for}
    return False if streams and len(silent) > 1 else None


def shown_to_peer(report: IceReport) -> tuple[Behaviour, str]:
    """Return what the peer's candidates show of its NAT."""
    reflexive = of_type(report.remote, "srflx")
    # By priority as well, which tells a port that the gateway maps from one that STUN saw.
    by_base: dict[tuple[TransportAddress, int], set[TransportAddress]] = {}
    for candidate in reflexive:
        if candidate.related is not None and not candidate.is_private:
            key = (candidate.related, candidate.priority)
            by_base.setdefault(key, set()).add(candidate.at)
    direct = [p for p in report.pairs if not p.relayed and not p.is_tcp]
    checked = any(pair.received for pair in direct)
    udp = True if reflexive or checked else None
    behind = [base for (base, _), places in by_base.items() if base not in places]
    behaviour = Behaviour(udp, None, None, True if behind else None)
    for (base, _), places in by_base.items():
        if len(places) > 1:
            listed = " and ".join(sorted(map(str, places)))
            return replace(behaviour, steady=False), f"{base} is seen at {listed}"
    return _shown_at_our_relay(report, behaviour)


def _shown_at_our_relay(report: IceReport, behaviour: Behaviour) -> tuple[Behaviour, str]:
    """Look for another port of the peer's at a relay of ours, where no NAT of ours comes between.

    Only where the peer has one address: another one may have come from another socket.
    """
    hosts = [c for c in of_type(report.remote, "host") if c.transport == "udp"]
    reflexive = of_type(report.remote, "srflx")
    if len(hosts) != 1 or len(reflexive) != 1:
        return behaviour, ""
    for pair in report.pairs:
        new = pair.remote
        if pair.local.type == "relay" and new.type == "prflx" and new.ip == reflexive[0].ip:
            words = f"it told {reflexive[0].at}, and came to a relay from {new.at}"
            return replace(behaviour, steady=False), words
    return behaviour, ""
