"""An explanation of a path as one paragraph for a person."""

from __future__ import annotations

from collections.abc import Iterator

from natkit.nat.behaviour import Filtering
from natkit.tools.path_cause import NAT_CAUSES, Cause, Fault
from natkit.tools.path_entries import PathKind
from natkit.tools.path_improve import Change, Improvement
from natkit.tools.path_side import Basis, Side, SideView
from natkit.tools.path_values import Checks, Missed, PathExplanation, Relay, Won

_TAKES_BOTH = frozenset({Change.ALLOW_UDP, Change.ALLOW_DIRECT})
"""What each side that lacks it has to change: one of them alone is not enough."""


def paragraph(explained: PathExplanation, ours: SideView, theirs: SideView) -> str:
    """Return the explanation in sentences."""
    return _Words(explained, ours, theirs).text()


class _Words:
    """Finds the words for one explanation."""

    def __init__(self, explained: PathExplanation, ours: SideView, theirs: SideView) -> None:
        self._explained, self._ours, self._theirs = explained, ours, theirs
        self._names = {Side.LOCAL: ours.name, Side.REMOTE: theirs.name, Side.BOTH: "both sides"}

    def text(self) -> str:
        """Return all sentences."""
        explained = self._explained
        sentences = [self._path()]
        if explained.won is not None and explained.kind is not PathKind.FAILED:
            sentences += [self._nomination(explained.won)]
        if explained.kind is PathKind.THROUGH_NAT and not self._is_tcp:
            sentences += self._why_through_nat()
        sentences += self._stopped()
        sentences += self._improvements()
        return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)

    # The path.

    def _path(self) -> str:
        explained, both = self._explained, f"{self._ours.name} and {self._theirs.name}"
        match explained.kind:
            case PathKind.UNDECIDED:
                return f"{both} are still looking for a path"
            case PathKind.FAILED:
                return f"{both} found no path" if explained.won is None else f"{both} lost contact"
            case PathKind.RELAYED:
                return f"{both} talk over {' and '.join(map(self._relay, explained.relays))}"
            case PathKind.SAME_NETWORK:
                how = "in one network"
            case PathKind.DIRECT:
                how = "between addresses of their own"
            case PathKind.THROUGH_NAT:
                how = "through NAT"
        over = " over TCP" if self._is_tcp else ""
        return f"{both} talk directly{over}, {how}{self._ends()}"

    @property
    def _is_tcp(self) -> bool:
        return self._explained.won is not None and self._explained.won.pair.is_tcp

    def _ends(self) -> str:
        if self._explained.won is None:
            return ""
        pair = self._explained.won.pair
        here, there = (pair.seen_as or pair.local).at, pair.remote.at
        return f": {self._ours.name} at {here}, {self._theirs.name} at {there}"

    def _relay(self, relay: Relay) -> str:
        name = self._names[relay.side]
        how = "" if relay.transport is None else f" (reached over {relay.transport.upper()})"
        return f"{name}'s relay at {relay.address}{how}"

    def _nomination(self, won: Won) -> str:
        if won.nominated_by is None:
            return "it is not nominated yet, so a better one may replace it"
        by = f"{self._names[won.nominated_by]} nominated it"
        if won.working == 1:
            return f"{by}, the only pair that works"
        rank = {1: "highest", 2: "second highest"}.get(won.rank, f"{won.rank}th highest")
        first = ", and it was the first to work" if won.first else ""
        return f"{by}; of the {won.working} pairs that work it has the {rank} priority{first}"

    def _why_through_nat(self) -> Iterator[str]:
        """Say what the behaviour of both NATs, where it is known, did for the path."""
        views = (self._ours, self._theirs)
        for view, other in (views, views[::-1]):
            if not view.nat.open:
                continue
            if other.nat.steady is False:
                yield (
                    f"{other.name}'s NAT gives every destination another port, but "
                    f"{_lets_in(view)}, so {other.name}'s checks arrived, and the answers went "
                    "back to where they had come from"
                )
                return
            if view.nat.steady is False:
                yield (
                    f"{view.name}'s NAT gives every destination another port, but lets anybody "
                    f"in, so {other.name}'s checks to the port that STUN saw arrived"
                )
                return
        if all(view.nat.steady for view in views):
            behind = [view for view in views if view.nat.nat is not False]
            whose = " and ".join(f"{view.name}'s NAT" for view in behind)
            if len(behind) == 1:
                name = behind[0].name
                yield f"{whose} keeps one port for all destinations, so {name}'s checks opened it"
            else:
                yield (
                    f"{whose} keep one port for all destinations, so each side's checks opened "
                    "its own NAT for the other's"
                )

    # What better kinds failed of.

    def _stopped(self) -> Iterator[str]:
        told: set[str] = set()
        for missed in self._explained.missed:
            for sentence in self._of_kind(missed):
                if sentence not in told:
                    told.add(sentence)
                    yield sentence

    def _of_kind(self, missed: Missed) -> Iterator[str]:
        whys = "; ".join(fault.why for fault in missed.faults)
        causes = {fault.cause for fault in missed.faults}
        if causes & {Cause.PEER_SILENT, Cause.NO_CANDIDATES, Cause.WRONG_PASSWORD}:
            yield whys
            return
        if missed.over is not None and missed.kind is not PathKind.RELAYED:
            yield f"not over UDP: {whys}"
            return
        match missed.kind:
            case PathKind.SAME_NETWORK:
                if Cause.UNKNOWN in causes:
                    yield f"why they do not meet in one network is unknown: {whys}"
                elif Cause.ONLY_RELAYED_CANDIDATES not in causes:
                    yield f"they do not meet in one network: {whys}"
            case PathKind.DIRECT if causes & {Cause.UNKNOWN, Cause.NO_COMMON_FAMILY}:
                yield f"they have public addresses, and do not meet there: {whys}"
            case PathKind.THROUGH_NAT:
                yield from self._not_through_nat(missed)
            case PathKind.RELAYED if missed.over is None:
                yield f"no relay carries the call: {whys}"
            case PathKind.RELAYED if Cause.UDP_BLOCKED not in causes:
                yield f"the relay is not reached over {str(missed.over).upper()}: {whys}"

    def _not_through_nat(self, missed: Missed) -> Iterator[str]:
        known = [fault for fault in missed.faults if fault.basis is not Basis.UNKNOWN]
        unknown = [fault.why for fault in missed.faults if fault.basis is Basis.UNKNOWN]
        if not unknown and {fault.cause for fault in known} <= NAT_CAUSES:
            yield f"{self._dropped(known)}: only a relay is left"
        elif known:
            yield f"no direct path: {'; '.join(fault.why for fault in known)}"
        if unknown:
            if missed.checks.sent:
                yield self._counted(missed.checks)
            if missed.faults[-1].side is Side.BOTH:
                yield f"why is unknown: {'; '.join(unknown)}"
            else:
                yield f"not known: {'; '.join(unknown)} (natkit probe measures it)"

    def _dropped(self, faults: list[Fault]) -> str:
        """Say whose packets were dropped where, from what both NATs do."""
        clauses: list[str] = []
        before = ""
        for side in dict.fromkeys(fault.side for fault in faults):
            views = (self._ours, self._theirs)
            view, other = views if side is Side.LOCAL else views[::-1]
            whose, does = _does(view)
            port = "to the port that STUN saw"
            if view.nat.steady is not False:
                port = f"from a port that {view.name} had sent nothing to"
            again = " as well" if clauses else ""
            what = "does the same" if does == before else does
            clauses.append(f"{whose} {what}, so {other.name}'s checks {port} were dropped{again}")
            before = does
        return "; ".join(clauses)

    def _counted(self, checks: Checks) -> str:
        arrived = "none of" if not checks.received else f"{checks.received} of"
        answered = "none was" if not checks.answered else f"{checks.answered} were"
        return (
            f"{self._ours.name} sent {checks.sent} checks that way, {answered} answered, and "
            f"{arrived} {self._theirs.name}'s arrived"
        )

    # What would help.

    def _improvements(self) -> Iterator[str]:
        goal = "help" if self._explained.kind is PathKind.FAILED else "make it direct"
        for start, enough in ((f"what would {goal}", True), ("what may help", False)):
            by_what: dict[str, list[Improvement]] = {}
            for it in self._explained.improve:
                if it.enough is enough:
                    by_what.setdefault(it.what, []).append(it)
            if by_what:
                yield f"{start}: {'; or '.join(self._way(*way) for way in by_what.items())}"

    def _way(self, what: str, by: list[Improvement]) -> str:
        if by[0].side is Side.BOTH:
            return what
        link = " and " if by[0].change in _TAKES_BOTH else " or "
        return f"at {link.join(self._names[it.side] for it in by)}, {what}"


def _lets_in(view: SideView) -> str:
    if view.nat.nat is False:
        return f"{view.name} is on the internet itself, and lets anybody in"
    if view.nat.filtering is Filtering.ENDPOINT_INDEPENDENT:
        return f"{view.name}'s NAT lets anybody in"
    return f"{view.name}'s NAT lets in whom it has sent to, from any port"


def _does(view: SideView) -> tuple[str, str]:
    """Say what a NAT does that is in the way: "B's NAT", "filters by port"."""
    what = "firewall" if view.nat.nat is False else "NAT"
    does = ["gives every destination another port"] if view.nat.steady is False else []
    by = {
        Filtering.ADDRESS_AND_PORT_DEPENDENT: "filters by port",
        Filtering.ADDRESS_DEPENDENT: "filters by address",
    }
    does += [by[view.nat.filtering]] if view.nat.filtering in by else []
    return f"{view.name}'s {what}", " and ".join(does)
