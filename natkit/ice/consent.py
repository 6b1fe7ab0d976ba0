"""May we go on sending? Consent of the peer, asked for again and again (RFC 7675 §5.1)."""

from __future__ import annotations

from collections.abc import Callable

from natkit.ice import messages
from natkit.ice.credentials import Credentials
from natkit.ice.messages import FORBIDDEN, Outgoing
from natkit.ice.pair import Pair, Path
from natkit.ice.priority import peer_reflexive
from natkit.ice.role import Role
from natkit.machine import Instant, Seconds
from natkit.wire import ErrorCode, Message, MessageClass

INTERVAL: Seconds = 5.0
"""Between two checks, drawn from 0.8 to 1.2 times this, so that agents do not fall into step."""

EXPIRY: Seconds = 30.0
"""After the last answer; from then on nothing may be sent."""


class Consent:
    """The consent to one pair.

    A check that gets no answer is not sent again: the next one is. These checks also keep the
    bindings of NATs alive (RFC 8445 §11).

    Args:       own, peer: credentials; the peer's None: it is not asked, and has given it for good.
    Attributes:
        expires_at: sending is allowed until then; None: for ever.
        next_at:    when to ask next.
        heard_at:   the last sign of the peer.
        ending:     in words, why it holds no longer, should that be so.
    """

    def __init__(
        self,
        pair: Pair,
        own: Credentials,
        peer: Credentials | None,
        randomness: Callable[[int], bytes],
        *,
        now: Instant,
    ) -> None:
        self.pair = pair
        self.own, self._peer = own, peer
        self._randomness = randomness
        self._asked: dict[bytes, Instant] = {}
        self.heard_at = now
        self.ending = "the peer no longer consents to be sent to"
        self.expires_at = None if peer is None else now + EXPIRY
        self.next_at = None if peer is None else now + self._interval()

    def holds(self, *, now: Instant) -> bool:
        """Tell whether sending is allowed."""
        return self.expires_at is None or now < self.expires_at

    def tick(self, role: Role, *, now: Instant) -> Outgoing | None:
        """Return the check that is due."""
        if self._peer is None or self.next_at is None or now < self.next_at:
            return None
        if not self.holds(now=now):
            self.next_at = None
            return None
        self.next_at = now + self._interval()
        self._asked = {who: at for who, at in self._asked.items() if now < at + EXPIRY}
        transaction_id = self._randomness(12)
        self._asked[transaction_id] = now
        base, remote, tcp = self.pair.path
        priority = peer_reflexive(self.pair.local.candidate.priority, tcp=tcp)
        data = messages.check(transaction_id, self.own, self._peer, role, priority)
        self.pair.history.sent += 1
        return Outgoing(data, remote, base, tcp)

    def answered(self, message: Message, path: Path, *, now: Instant) -> bool:
        """Take an answer; False: it is none to a check of ours."""
        if self._peer is None or message.transaction_id not in self._asked:
            return False
        if not message.verify(self._peer.key) or self.pair.path != path:
            return True  # consent comes from the peer, on the path it was asked on (§5.1)
        asked_at = self._asked.pop(message.transaction_id)
        if message.message_class is MessageClass.SUCCESS:
            self.heard_at, self.expires_at = now, asked_at + EXPIRY
            self.pair.history.answered += 1
            self.pair.history.answered_at = now
            self.pair.history.round_trip = now - asked_at
        elif (error := message.find(ErrorCode)) is not None and error.code == FORBIDDEN:
            self.pair.history.note("the peer has withdrawn its consent (403)", now=now)
            self.expires_at = now
        return True

    def broken(self, why: str, *, now: Instant) -> None:
        """Take that the TCP connection has ended: there is nothing left to consent to."""
        self.ending, self.expires_at = why, now

    def _interval(self) -> Seconds:
        lot = int.from_bytes(self._randomness(2), "big") / 0xFFFF
        return INTERVAL * (0.8 + 0.4 * lot)
