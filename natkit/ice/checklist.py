"""Which pairs there are, and which is checked next (RFC 8445 §6.1.2, §6.1.4; RFC 8838 §10 to §12).

Rule of the file: a pair is a base of ours and an address of the peer's, so a server-reflexive
candidate of ours makes no pair: what it would send leaves from its base, whose pair is there.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from natkit.ice.candidate import CandidateType, Local, Remote, TcpType
from natkit.ice.pair import FAILED, FROZEN, IN_PROGRESS, SUCCEEDED, WAITING, Pair, PairState, Path
from natkit.machine import Instant

LIMIT = 100
"""Pairs at the most, so that nobody makes us flood a third party (RFC 8445 §6.1.2.5, §19.5.1)."""


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Two candidates that make no pair, and why."""

    local: Local
    remote: Remote
    why: str


class CheckList:
    """The pairs of all components, the best first.

    Attributes:
        pairs:    in the order of priority.
        unpaired: candidates that were never paired, or no longer are.
        running:  checks may be sent.
    """

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.unpaired: list[Unpaired] = []
        self.running = False
        self._by_path: dict[Path, Pair] = {}
        self._triggered: list[Pair] = []
        self._numbers = 0

    def find(self, path: Path) -> Pair | None:
        """Return the pair from that base to that address."""
        return self._by_path.get(path)

    def add(
        self,
        local: Local,
        remote: Remote,
        *,
        controlling: bool,
        checked: bool = False,
        now: Instant,
    ) -> Pair | None:
        """Pair two candidates; `checked`: the peer has, so that it goes before any unproved pair.

        None where they make no new pair; `unpaired` says why, unless the two are of different
        components, IP versions or transports.
        """
        if not _are_alike(local, remote):
            return None
        why = _obstacle(local, remote)
        path = Path(local.base, remote.address, local.candidate.is_tcp)
        if why is None and path in self._by_path:
            why = "the path is checked already, from the same base to the same address"
        if why is None and not self._make_room(local, remote, controlling, checked):
            why = f"there are {LIMIT} better pairs"
        if why is not None:
            self._explain(local, remote, why)
            return None
        self._numbers += 1
        pair = Pair(self._numbers, local, remote, 0)
        pair.history.changes.append((now, FROZEN))
        pair.reorder(controlling=controlling)
        self._by_path[pair.path] = pair
        self.pairs.append(pair)
        self._sort()
        if self.running and self._may_begin(pair):
            pair.become(WAITING, now=now)
        return pair

    def start(self, *, now: Instant) -> None:
        """Let checks begin: one pair of each foundation is waiting (RFC 8445 §6.1.2.6)."""
        self.running = True
        for pair in self.pairs:
            if pair.state is FROZEN and self._may_begin(pair):
                pair.become(WAITING, now=now)

    def reorder(self, *, controlling: bool) -> None:
        """Compute every priority anew, after a change of roles or of a candidate."""
        for pair in self.pairs:
            pair.reorder(controlling=controlling)
        self._sort()

    def trigger(self, pair: Pair, *, now: Instant) -> None:
        """Have `pair` checked before all others (RFC 8445 §7.3.1.4)."""
        if pair.state in (FROZEN, IN_PROGRESS, FAILED):
            pair.become(WAITING, now=now)
        if pair.state is WAITING and pair not in self._triggered:
            self._triggered.append(pair)

    def has_next(self) -> bool:
        """Tell whether `next` has something."""
        return self.running and (bool(self._triggered) or self._choose() is not None)

    def next(self, *, now: Instant) -> Pair | None:
        """Return the pair to check now, which is waiting; None: there is none (§6.1.4.2)."""
        while self._triggered:
            pair = self._triggered.pop(0)
            if pair.state is WAITING:
                return pair
        chosen = self._choose() if self.running else None
        if chosen is not None and chosen.state is FROZEN:
            chosen.become(WAITING, now=now)
        return chosen

    def succeeded(self, pair: Pair, *, now: Instant) -> None:
        """Take that a pair works: what shares its foundation is likely to (RFC 8445 §7.2.5.3.3)."""
        pair.become(SUCCEEDED, now=now)
        if pair in self._triggered:
            self._triggered.remove(pair)
        for other in self.pairs:
            if other.state is FROZEN and other.foundation == pair.foundation:
                other.become(WAITING, now=now)

    def conclude(self, component: int, *, now: Instant) -> None:
        """Check no more pairs of a component that has its pair (RFC 8445 §8.1.2)."""
        for pair in [p for p in self.pairs if p.component == component]:
            if pair.state in (FROZEN, WAITING):
                pair.history.note("not checked: another pair was chosen before", now=now)
                self._drop(pair)

    def working(self, component: int) -> list[Pair]:
        """Return the valid list of a component: the pairs that work, the best first."""
        return [p for p in self.pairs if p.component == component and p.state is SUCCEEDED]

    def count(self, *states: PairState) -> int:
        """Return how many pairs are in one of `states`."""
        return sum(pair.state in states for pair in self.pairs)

    def _sort(self) -> None:
        self.pairs.sort(key=lambda pair: -pair.priority)

    def _explain(self, local: Local, remote: Remote, why: str) -> None:
        if len(self.unpaired) < 4 * LIMIT:
            self.unpaired.append(Unpaired(local, remote, why))

    def _may_begin(self, pair: Pair) -> bool:
        """RFC 8838 §12: its foundation's topmost pair, or one of a foundation that works."""
        kin = [p for p in self.pairs if p.foundation == pair.foundation]
        top = min(kin, key=lambda p: (p.component, -p.priority))
        return pair is top or any(p.state is SUCCEEDED for p in kin)

    def _choose(self) -> Pair | None:
        """Return the best waiting pair, or else the best frozen one whose foundation is idle."""
        for pair in self.pairs:
            if pair.state is WAITING:
                return pair
        busy = {pair.foundation for pair in self.pairs if pair.state is IN_PROGRESS}
        for pair in self.pairs:
            if pair.state is FROZEN and pair.foundation not in busy:
                return pair
        return None

    def _make_room(self, local: Local, remote: Remote, controlling: bool, checked: bool) -> bool:
        """Drop a failed pair, or the worst one if the new is better (RFC 8838 §11), or checked."""
        if len(self.pairs) < LIMIT:
            return True
        new = Pair(0, local, remote, 0)
        new.reorder(controlling=controlling)
        failed = [pair for pair in self.pairs if pair.state is FAILED]
        unchecked = [pair for pair in self.pairs if pair.state in (FROZEN, WAITING)]
        victims = failed[-1:] or [p for p in unchecked[-1:] if checked or p.priority < new.priority]
        for pair in victims:
            self._drop(pair)
            self._explain(pair.local, pair.remote, f"given up for one of {LIMIT} better pairs")
        return bool(victims)

    def _drop(self, pair: Pair) -> None:
        """Forget a pair that may come again: a check from the peer makes a new one of it."""
        self.pairs.remove(pair)
        del self._by_path[pair.path]
        if pair in self._triggered:
            self._triggered.remove(pair)


def _are_alike(local: Local, remote: Remote) -> bool:
    """Tell whether they are of one component, one IP version and one transport that we know."""
    ours, theirs = local.candidate, remote.candidate
    same_family = local.base.is_ipv6 is remote.address.is_ipv6
    same_transport = ours.is_tcp is theirs.is_tcp
    return same_family and same_transport and ours.component == theirs.component


def _obstacle(local: Local, remote: Remote) -> str | None:
    """Return why the two make no pair (RFC 8445 §6.1.2.2); None: they may."""
    ours, theirs = local.candidate, remote.candidate
    if theirs.transport.lower() != ours.transport.lower():
        return f"natkit does not check over {theirs.transport}"
    if ours.is_tcp and (why := _who_connects(local, remote)) is not None:
        return why
    if ours.is_relayed and theirs.is_name:
        # draft-ietf-mmusic-mdns-ice-candidates §3.3.2
        return "a relay would learn the address that the peer's mDNS name hides"
    if _is_link_local(local.base.ip) != _is_link_local(remote.address.ip):
        return "a link-local address reaches its link alone"
    return None


def _who_connects(local: Local, remote: Remote) -> str | None:
    """Return why no connection of ours can join two TCP candidates (RFC 6544 §6.2)."""
    ours, theirs = local.candidate, remote.candidate
    if ours.opposite != theirs.tcptype:
        return f"TCP {ours.tcptype} makes no connection with TCP {theirs.tcptype}"
    # What we learnt from a connection that stands is the other end of that connection.
    if ours.tcptype == TcpType.PASSIVE and theirs.type != CandidateType.PEER_REFLEXIVE:
        return "it is the peer that connects, and from another port than it tells"
    return None


def _is_link_local(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_link_local
