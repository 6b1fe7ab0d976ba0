"""One ICE session: candidates of both sides, checks between them, and what came of it.

A restart begins another session; roles and endpoints outlive it. Rules of the file:
1. New checks leave one every Ta; the first at once, and so does one that nominates: it goes where
   an answer just came from, so it opens no binding and surprises nobody, which is what the pacing
   is for (RFC 8445 §14.1, B.1).
2. An answer that the peer's password does not sign is no answer (RFC 8489 §9.1.4).
3. Every input that changes something ends in `tick`, which does what has become possible, and works
   out when it has something to do again: consent goes on for hours after all that is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from natkit.ice import messages, nomination
from natkit.ice.candidate import Candidate, CandidateType, Local, Remote
from natkit.ice.candidates import MOST, Candidates
from natkit.ice.checklist import LIMIT, CheckList
from natkit.ice.checks import PROMISING, Check, Checks, schedule
from natkit.ice.credentials import Credentials
from natkit.ice.messages import ROLE_CONFLICT, UNAUTHENTICATED, Checked
from natkit.ice.nomination import Plan
from natkit.ice.pair import FAILED, IN_PROGRESS, SUCCEEDED, WAITING, Pair, Path, Side
from natkit.ice.priority import peer_reflexive
from natkit.ice.role import Role
from natkit.ice.settings import Settings
from natkit.machine import Instant, soonest
from natkit.network import IcmpError
from natkit.stun.binding import HARD_ICMP_ERRORS, read_success
from natkit.stun.transaction import Transaction
from natkit.wire import ErrorCode, Message, MessageClass, TransportAddress

_SENDS_BEFORE_ICMP_COUNTS = 2
"""A router may refuse our first packet only because the peer's own has not opened it yet."""


class Session:
    """One ICE session.

    Attributes:
        own, peer:    credentials; the peer's are None until they are told.
        lite, peer_is_lite: that side only answers (RFC 8445 §2.5).
        forced:       a pair was chosen without checks.
        candidates:   of both sides.
        pairs:        the check list.
        checks:       our checks in flight.
        components:   those that must connect.
        local_done, remote_done: no more candidates will come.
        started_at:   when checks began.
        met:          the peer has checked us in this session: it has started, too.
        suspicion:    in words, what probably keeps pairs from working; empty: nothing is known.
    """

    def __init__(
        self,
        own: Credentials,
        role: Role,
        randomness: Callable[[int], bytes],
        settings: Settings,
        components: int,
        *,
        lite: bool,
    ) -> None:
        self.own = own
        self.peer: Credentials | None = None
        self.lite, self.peer_is_lite, self.forced = lite, False, False
        self.candidates, self.pairs, self.checks = Candidates(), CheckList(), Checks()
        self.components = set(range(1, components + 1))
        self.local_done = self.remote_done = False
        self.started_at: Instant | None = None
        self.met, self.suspicion = False, ""
        self._role, self._randomness, self._settings = role, randomness, settings
        self._early: list[Checked] = []
        self._slot_at: Instant = float("-inf")
        self._due: Instant | None = None

    # Candidates.

    def add_local(self, local: Local, *, now: Instant) -> None:
        """Take a candidate of ours, and pair it."""
        self.candidates.local.append(local)
        if local in self.candidates.senders():
            for remote in self.candidates.remote:
                self._pair(local, remote, now)
        self.tick(now=now)

    def add_remote(self, candidate: Candidate, address: TransportAddress, *, now: Instant) -> None:
        """Take a candidate of the peer's, and pair it unless its address was known already."""
        known = self.candidates.remote_at(address, candidate.component, tcp=candidate.is_tcp)
        if known is None and len(self.candidates.remote) < MOST:
            self._pair_remote(self.candidates.add_remote(candidate, address, now), now)
        elif known is not None and known.candidate.type == CandidateType.PEER_REFLEXIVE:
            # Its pairs stay, under the name and the priority it has for the peer (RFC 8838 §11).
            known.candidate = candidate
            self.candidates.find_relays()
            self.pairs.reorder(controlling=self._role.controlling)
        self.tick(now=now)

    def end_of_remote(self, *, now: Instant) -> None:
        """Take that the peer has no more candidates; components without any are left out."""
        self.remote_done = True
        named = {remote.candidate.component for remote in self.candidates.remote}
        self.components = (self.components & named) or self.components
        self.tick(now=now)

    def start(self, *, now: Instant) -> None:
        """Begin to check, with the checks that have come so far in mind."""
        self.started_at = now
        self.pairs.start(now=now)
        for checked in self._early:
            self._take(checked, now)
        self._early.clear()
        if self.lite and self.peer_is_lite:
            self._choose_unchecked(now)
        self.tick(now=now)

    # What came of it.

    def selected(self, component: int) -> Pair | None:
        """Return the pair that was nominated: of several, the best (RFC 8445 §8.1.1).

        A controlling Chromium nominates one after the other, and may itself send on another one:
        what comes there is taken (§12.2).
        """
        return next((pair for pair in self.pairs.working(component) if pair.nominated), None)

    def usable(self, component: int) -> Pair | None:
        """Return the pair to send on: the nominated one, or the best that works (§12.1.1)."""
        working = self.pairs.working(component)
        return next((pair for pair in working if pair.nominated), next(iter(working), None))

    @property
    def asks_consent(self) -> Credentials | None:
        """The credentials to ask the peer's consent with; None: it is not asked."""
        return None if self.lite or self.forced else self.peer

    @property
    def more_expected(self) -> bool:
        """True while candidates of either side may come."""
        return not (self.local_done and self.remote_done)

    def fails_at(self) -> Instant | None:
        """Return from when on the session has failed as things stand; None: there is hope.

        A check of the peer's has a pair checked anew (RFC 8445 §7.3.1.4), and a peer that has a
        path asks for consent for ever: so a pair that it has checked is hoped for as long as a
        session is (RFC 8863 §4), and no longer.
        """
        if self.started_at is None or self.more_expected or all(map(self.usable, self.components)):
            return None
        latest = self.started_at
        for pair in self.pairs.pairs:
            if pair.is_pending:
                if pair.history.received_at is None:
                    return None
                latest = max(latest, pair.history.received_at)
        return latest + self._settings.failure_patience

    # What came in.

    def checked(self, checked: Checked, *, now: Instant) -> None:
        """Take a check of the peer's, which has been answered already."""
        if self.started_at is None:
            self._early = [*self._early[1 - LIMIT :], checked]
            return
        if self._take(checked, now):
            self.tick(now=now)

    def answered(self, message: Message, path: Path, *, now: Instant) -> None:
        """Take an answer to a check of ours that came on a path; what is none is ignored."""
        check = self.checks.get(message.transaction_id)
        if check is None or self.peer is None:
            return
        if not message.verify(self.peer.key):
            self._discarded(check, message, now)
            return
        self.checks.take(message.transaction_id)
        if path != check.pair.path:  # RFC 8445 §7.2.5.2.1
            self._fail(check.pair, f"its answer came from {path.remote} to {path.base}", now)
        elif message.message_class is MessageClass.SUCCESS:
            self._succeed(check, message, now)
        else:
            self._refused(check, message, now)
        self.tick(now=now)

    def _discarded(self, check: Check, message: Message, now: Instant) -> None:
        """Take an answer that is not from the peer, or shows that we have another password.

        Anybody on the way can send one, so it ends a check over TCP alone (RFC 8489 §9.1.4).
        """
        error = message.find(ErrorCode)
        said = "a success" if error is None else f"error {error.code}"
        check.discarded = f"the only answers were not signed with the peer's password ({said})"
        what = f"an answer that the peer's password does not sign was ignored: {said}"
        check.pair.history.note(what, now=now)
        if error is not None and error.code == UNAUTHENTICATED:
            self.suspicion = "the peer does not know the password that we were told (401)"
        if check.pair.is_tcp:
            self.checks.take(message.transaction_id)
            self._fail(check.pair, check.discarded, now)
            self.tick(now=now)

    def icmp(self, error: IcmpError, at: TransportAddress, *, now: Instant) -> None:
        """Take an ICMP error for something sent from `at`."""
        destination = error.destination
        pair = None if destination is None else self.pairs.find(Path(at, destination))
        if pair is None or pair.state is not IN_PROGRESS:
            return
        words = f"ICMP type {error.kind} code {error.code}"
        pair.history.note(words, now=now)
        hard = (at.is_ipv6, error.kind, error.code) in HARD_ICMP_ERRORS
        if hard and self.checks.sends(pair) >= _SENDS_BEFORE_ICMP_COUNTS:
            self.checks.quieten(pair)
            self._fail(pair, f"nobody listens there ({words})", now)
            self.tick(now=now)

    def broken(self, path: Path, why: str, *, now: Instant) -> None:
        """Take that a TCP connection could not be made, or has ended."""
        pair = self.pairs.find(path)
        if pair is not None:
            self.checks.quieten(pair)
            self._fail(pair, why, now)
            self.tick(now=now)

    def doubt(self, pair: Pair, *, since: Instant, now: Instant) -> None:
        """Take that the pair in use is silent: give it up for another one that is answered.

        That another one worked is no consent to use it now (RFC 7675 §5.1): it is checked first.

        Args: since: when the pair in use was last heard of.
        """
        others = [other for other in self.pairs.working(pair.component) if other is not pair]
        if not (others and self._is_checking and pair.state is SUCCEEDED):
            return
        for other in others:
            if self.candidates.sender(other.path.base, tcp=other.is_tcp) is None:
                self._fail(other, "its candidate was given back", now)
            elif nomination.worked_at(other) <= since:
                self._fail(other, "to be checked again: the pair in use is silent", now)
                self.pairs.trigger(other, now=now)
            else:
                self._fail(pair, "silent, while another pair is answered", now)
        self.tick(now=now)

    # Time.

    def tick(self, *, now: Instant) -> None:
        """Send again, give up, begin the next check, nominate."""
        for check in self.checks.tick(now=now):
            self._give_up(check, now)
        if self._is_checking:
            self._check_next(now)
        slot = self._slot_at if self._is_checking and self.pairs.has_next() else None
        nominations = [at for _, at in self._plans()]
        self._due = soonest((self.checks.deadline(), slot, *nominations, self.fails_at()))

    def _give_up(self, check: Check, now: Instant) -> None:
        """Take that a check was never answered; one that nominates is tried anew on a good path.

        On a lossy one all of its sends may be lost while consent is answered. To call the pair
        failed then (RFC 8445 §8.1.1) would end a call that works.
        """
        answered_at = check.pair.history.answered_at
        if check.nominates and answered_at and answered_at > check.transaction.began_at:
            check.pair.history.note("the check that nominates it was lost", now=now)
            return
        silence = f"no answer to a check that was sent {check.transaction.sent} times"
        self._fail(check.pair, check.discarded or silence, now)

    def _check_next(self, now: Instant) -> None:
        if self._slot_at <= now and (pair := self.pairs.next(now=now)) is not None:
            self._slot_at = now + self._settings.pacing
            pair.become(IN_PROGRESS, now=now)
            self._check(pair, now=now)
        for pair, at in list(self._plans()):
            if at <= now:
                self._check(pair, nominates=True, now=now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do, or the session may have failed."""
        return self._due

    # Pairs.

    def _pair(
        self, local: Local, remote: Remote, now: Instant, *, checked: bool = False
    ) -> Pair | None:
        role = self._role.controlling
        return self.pairs.add(local, remote, controlling=role, checked=checked, now=now)

    def _pair_remote(self, remote: Remote, now: Instant) -> None:
        for local in self.candidates.senders():
            self._pair(local, remote, now)

    def _take(self, checked: Checked, now: Instant) -> bool:
        """Let a check of the peer's have its effects (RFC 8445 §7.3.1.3 to §7.3.1.5).

        Returns: False: it asks for consent, on a path that is known to work.
        """
        self.met = True
        local = self.candidates.sender(checked.base, tcp=checked.tcp)
        if local is None:
            return False
        component = local.candidate.component
        remote = self.candidates.remote_at(checked.source, component, tcp=checked.tcp)
        if remote is None:
            remote = self.candidates.learn_remote(checked, local, now)
        pair = self.pairs.find(Path(checked.base, checked.source, checked.tcp))
        if pair is None and remote is not None:
            pair = self._pair(local, remote, now, checked=True)
        if pair is None:
            return False
        pair.history.received += 1
        if pair.history.received_at is None:
            pair.history.received_at = now
        if pair.state is SUCCEEDED and (pair.nominated or not checked.nominates):
            return False
        if self.lite:
            self._accept(pair, now)
        elif pair.state is not SUCCEEDED:
            self.checks.quieten(pair)
            self.pairs.trigger(pair, now=now)
        if checked.nominates and not self._role.controlling:
            pair.wanted = True
            if pair.state is SUCCEEDED:
                self._nominated(pair, Side.PEER, now)
        return True

    # Checks of ours.

    @property
    def _is_checking(self) -> bool:
        return self.started_at is not None and self.peer is not None and not self.lite

    def _check(self, pair: Pair, *, nominates: bool = False, now: Instant) -> None:
        if self.peer is None:
            return
        priority = peer_reflexive(pair.local.candidate.priority, tcp=pair.is_tcp)
        transaction_id = self._randomness(12)
        request = messages.check(
            transaction_id, self.own, self.peer, self._role, priority, nominates=nominates
        )
        if pair.history.received and not pair.is_relayed and not pair.is_tcp:
            resend = PROMISING
        else:
            busy = self.pairs.count(WAITING, IN_PROGRESS)
            resend = schedule(self._settings.pacing, busy, tcp=pair.is_tcp)
        transaction = Transaction(resend, now=now)
        check = Check(pair, request, nominates, self._role.controlling, priority, transaction)
        self.checks.send(transaction_id, check, now=now)

    def _succeed(self, check: Check, message: Message, now: Instant) -> None:
        answer = read_success(message)
        pair, history = check.pair, check.pair.history
        if isinstance(answer, str):
            self._fail(pair, answer, now)
            return
        history.answered += 1
        history.answered_at = now
        history.round_trip = check.transaction.round_trip(now=now) or history.round_trip
        if pair.state is not SUCCEEDED:
            self.checks.quieten(pair)
            self.pairs.succeeded(pair, now=now)
        pair.seen_as = self.candidates.seen_at(answer.mapped, pair, check.priority, now)
        if check.nominates and self._role.controlling:
            self._nominated(pair, Side.US, now)
        elif pair.wanted and not self._role.controlling:
            self._nominated(pair, Side.PEER, now)

    def _refused(self, check: Check, message: Message, now: Instant) -> None:
        error = message.find(ErrorCode)
        if error is None or error.code != ROLE_CONFLICT:
            said = "an error" if error is None else f"error {error.code} {error.reason}".rstrip()
            self._fail(check.pair, f"the peer answered with {said}", now)
            return
        check.pair.history.note("the peer has our role (487)", now=now)
        if self._role.refused(was_controlling=check.controlling):
            self.pairs.reorder(controlling=self._role.controlling)
        if check.pair.state is not SUCCEEDED:
            self.pairs.trigger(check.pair, now=now)

    def _fail(self, pair: Pair, why: str, now: Instant) -> None:
        pair.history.note(why, now=now)
        if pair.state in (IN_PROGRESS, SUCCEEDED):
            pair.become(FAILED, now=now)

    # Nomination.

    def force(self, pair: Pair, *, now: Instant) -> None:
        """Select a pair without any check, for a peer that does not speak ICE."""
        self.forced = True
        self._accept(pair, now)
        self._nominated(pair, Side.US, now)
        self.tick(now=now)

    def _accept(self, pair: Pair, now: Instant) -> None:
        """Call a pair working without a check of ours: a lite agent sends none."""
        if pair.state is not SUCCEEDED:
            self.pairs.trigger(pair, now=now)
            self.pairs.succeeded(pair, now=now)
            pair.seen_as = pair.local

    def _choose_unchecked(self, now: Instant) -> None:
        """Both sides are lite: each takes the best pair (RFC 8445 §8.2.2)."""
        for component in self.components:
            pair = next((p for p in self.pairs.pairs if p.component == component), None)
            if pair is not None:
                self.force(pair, now=now)

    def _plans(self) -> Iterator[Plan]:
        """Return what we are going to nominate, for components that have no pair yet."""
        if not (self._is_checking and self._role.controlling):
            return
        for component in self.components:
            if self.selected(component) is None and component not in self.checks.nominating():
                plan = nomination.plan(
                    self.pairs, component, self._settings, more_expected=self.more_expected
                )
                if plan is not None:
                    yield plan

    def _nominated(self, pair: Pair, by: Side, now: Instant) -> None:
        if pair.nominated:
            return
        pair.nominated, pair.history.nominated_by = True, by
        self.pairs.conclude(pair.component, now=now)
        self.checks.conclude(pair)
