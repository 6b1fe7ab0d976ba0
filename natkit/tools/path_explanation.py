"""Why a call takes the path it takes: from an ICE report, and what else is known of both sides.

The best kinds come first: in one network, directly, directly through NAT, over a relay. For each
kind better than the one that won the explanation says what stood in its way, and how that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from natkit.ice.pair import Side as Nominator
from natkit.tools.path_cause import Fault
from natkit.tools.path_entries import PathKind, Tried, of_type
from natkit.tools.path_faults import (
    nat_faults,
    network_faults,
    public_faults,
    relay_faults,
    udp_relay_faults,
    whole_faults,
)
from natkit.tools.path_improve import improvements
from natkit.tools.path_report import IceReport
from natkit.tools.path_side import NatKnowledge, Side, SideView, local_view, remote_view
from natkit.tools.path_values import Checks, Missed, PathExplanation, Relay, Won
from natkit.tools.path_words import paragraph
from natkit.wire import TransportAddress

_KINDS = (PathKind.SAME_NETWORK, PathKind.DIRECT, PathKind.THROUGH_NAT, PathKind.RELAYED)

_BETTER = {
    PathKind.SAME_NETWORK: (),
    PathKind.DIRECT: (),  # no worse than one within a network
    PathKind.THROUGH_NAT: _KINDS[:2],
    PathKind.RELAYED: _KINDS[:3],
    PathKind.FAILED: _KINDS,
    PathKind.UNDECIDED: _KINDS,
}
"""For each kind the better ones, the best first."""


_NOMINATORS = {Nominator.US: Side.LOCAL, Nominator.PEER: Side.REMOTE, None: None}


def explain_path(
    report: Mapping[str, Any],
    *,
    local_nat: NatKnowledge | None = None,
    remote_nat: NatKnowledge | None = None,
    remote_report: Mapping[str, Any] | None = None,
    names: tuple[str, str] = ("this side", "the peer"),
) -> PathExplanation:
    """Explain what path a call takes, why, and what stopped the better ones.

    Args:
        report:     of one side: `natkit.Connection.report()`, natkit.ice/1.
        local_nat, remote_nat: what a probe measured on this side and on the other one: a report of
                    `natkit probe --json`, a `ProbeReport` or a `Behaviour`; None: not known.
        remote_report: the other side's ICE report, if there is one.
        names:      what to call the two sides.
    Raises: UsageError: a document is not what it should be.
    """
    own = IceReport(report)
    other = None if remote_report is None else IceReport(remote_report)
    ours = local_view(own, names[0], local_nat)
    theirs = remote_view(own, other, names[1], remote_nat)
    relays = tuple(_relays(own, other)) if own.kind is PathKind.RELAYED else ()
    missed = tuple(_missed(own, other, ours, theirs, relays))
    faults = [fault for each in missed for fault in each.faults]
    better = tuple(dict.fromkeys(improvements(own.kind, faults, ours, theirs)))
    won = None if own.selected is None else _won(own, own.selected)
    explained = PathExplanation(own.kind, won, relays, missed, better)
    return replace(explained, paragraph=paragraph(explained, ours, theirs))


def _won(report: IceReport, pair: Tried) -> Won:
    working = [p for p in report.pairs if p.works] or [pair]
    since = [p.worked_ms for p in working if p.worked_ms is not None]
    return Won(
        pair,
        _NOMINATORS[pair.nominated_by],
        len(working),
        1 + sum(p.priority > pair.priority for p in working),
        # Where nobody knows when (browsers do not tell) there is no first one.
        pair.worked_ms is not None and pair.worked_ms == min(since),
    )


def _relays(report: IceReport, other: IceReport | None) -> Iterator[Relay]:
    pair = report.selected
    if pair is None:
        return
    if pair.local.type == "relay":
        yield Relay(Side.LOCAL, str(pair.local.at), *_server(report, pair.local.at))
    if pair.remote.type == "relay" or pair.local.type != "relay":
        at = pair.remote.at
        if other is not None and other.selected is not None:
            # A NAT of ours may have given what comes from it another port; its owner knows better.
            at = other.selected.local.at
        yield Relay(Side.REMOTE, str(pair.remote.at), *_server(other, at))


def _server(report: IceReport | None, at: TransportAddress) -> tuple[str | None, str | None]:
    """Return which server gave a side the relayed address `at`, and how that is reached."""
    for candidate in () if report is None else of_type(report.local, "relay"):
        if candidate.at == at and candidate.server is not None:
            return candidate.server, candidate.server.rpartition(" over ")[2]
    return None, None


def _missed(
    report: IceReport,
    other: IceReport | None,
    ours: SideView,
    theirs: SideView,
    relays: tuple[Relay, ...],
) -> Iterator[Missed]:
    """Yield the kinds that are better than what was found, with what stood in their way."""

    def missed(kind: PathKind, faults: tuple[Fault, ...], over: str | None = None) -> Missed:
        peer = None if other is None else Checks.of(other.of_kind(kind))
        return Missed(kind, faults, Checks.of(report.of_kind(kind)), peer, over)

    whole = whole_faults(report, ours, theirs)
    if report.kind is PathKind.UNDECIDED and not whole:
        return
    causes = {
        PathKind.SAME_NETWORK: whole or network_faults(report, ours, theirs),
        PathKind.DIRECT: whole or public_faults(ours, theirs),
        PathKind.THROUGH_NAT: whole or nat_faults(ours, theirs),
        PathKind.RELAYED: whole or relay_faults(ours, theirs),
    }
    yield from (missed(kind, causes[kind]) for kind in _BETTER[report.kind] if causes[kind])
    if report.selected is not None and report.selected.is_tcp and not report.selected.relayed:
        yield missed(report.kind, nat_faults(ours, theirs) or public_faults(ours, theirs), "udp")
    for relay in relays:
        if relay.transport in ("tcp", "tls"):
            view = ours if relay.side is Side.LOCAL else theirs
            yield missed(PathKind.RELAYED, udp_relay_faults(view), "udp")
