"""Our checks in flight: sent, sent again, answered or given up (RFC 8445 §7.2, §14.3)."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.ice.messages import Outgoing
from natkit.ice.pair import Pair
from natkit.machine import Instant, Seconds, soonest
from natkit.stun.transaction import RELIABLE, UNRELIABLE, Retransmission, Step, Transaction


@dataclass(slots=True)
class Check:
    """A check in flight.

    Attributes:
        nominates:   it has USE-CANDIDATE.
        controlling: our role when it was sent.
        priority:    what it said; a candidate learnt from its answer gets it.
        discarded:   what an answer said that the peer's password does not sign; empty: none came.
        quiet:       not sent again, but its answer still counts.
    """

    pair: Pair
    request: bytes
    nominates: bool
    controlling: bool
    priority: int
    transaction: Transaction
    discarded: str = ""
    quiet: bool = False


def schedule(pacing: Seconds, busy: int, *, tcp: bool) -> Retransmission:
    """Return how a check is sent again: the more of them there are, the slower (§14.3).

    Args: busy: pairs that are checked or wait for it; tcp: TCP sends again by itself.
    """
    if tcp:
        return RELIABLE
    return Retransmission(max(UNRELIABLE.rto, pacing * busy))


PROMISING = Retransmission(rto=UNRELIABLE.rto, count=79, final=1, even=True)
"""For a check to where the peer's own has come from without a relay: the path is open, so silence
means loss, and what each doubling saves in packets costs the direct path. With a tenth lost each
way on each side, four sends, which were all that fitted into 8 s, went unanswered in one call of a
hundred. It gives up when others do, at 39.5 s."""


class Checks:
    """All checks in flight of a session.

    Attributes: outgoing: what is to be sent.
    """

    def __init__(self) -> None:
        self.outgoing: list[Outgoing] = []
        self._flying: dict[bytes, Check] = {}

    def send(self, transaction_id: bytes, check: Check, *, now: Instant) -> None:
        """Send a check for the first time."""
        self._flying[transaction_id] = check
        check.transaction.step(now=now)
        self._send(check)

    def get(self, transaction_id: bytes) -> Check | None:
        """Return the check that an answer of this id belongs to."""
        return self._flying.get(transaction_id)

    def take(self, transaction_id: bytes) -> None:
        """End a check: it was answered."""
        del self._flying[transaction_id]

    def tick(self, *, now: Instant) -> list[Check]:
        """Send again what is due; return what nobody answered."""
        over = []
        for transaction_id, check in list(self._flying.items()):
            step = check.transaction.step(now=now)
            if step is Step.SEND and not check.quiet:
                self._send(check)
            elif step is Step.GIVE_UP:
                del self._flying[transaction_id]
                if not check.quiet:
                    over.append(check)
        return over

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        return soonest(check.transaction.deadline for check in self._flying.values())

    def quieten(self, pair: Pair) -> None:
        """Send the checks of a pair no more, but hear their answers (RFC 8445 §7.3.1.4)."""
        for check in self._flying.values():
            if check.pair is pair:
                check.quiet = True

    def conclude(self, chosen: Pair) -> None:
        """Quieten the pairs that are no better than the one chosen (RFC 8445 §8.1.2)."""
        for check in self._flying.values():
            if check.pair.component == chosen.component and check.pair.priority <= chosen.priority:
                check.quiet = True

    def sends(self, pair: Pair) -> int:
        """Return how often the current check of a pair was sent."""
        return max((c.transaction.sent for c in self._flying.values() if c.pair is pair), default=0)

    def nominating(self) -> set[int]:
        """Return the components of checks that nominate."""
        return {check.pair.component for check in self._flying.values() if check.nominates}

    def _send(self, check: Check) -> None:
        check.pair.history.sent += 1
        base, remote, tcp = check.pair.path
        self.outgoing.append(Outgoing(check.request, remote, base, tcp))
