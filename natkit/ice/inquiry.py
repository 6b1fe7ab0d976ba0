"""Questions to servers while gathering, and how long their answers are worth waiting for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

from natkit.ice.candidate import Local
from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress

PATIENCE: Seconds = 2.0
"""For a kind of server of which none answers: three sends of a request, at 0, 0.5 and 1.5 s."""

GATEWAY_PATIENCE: Seconds = 1.0
"""For the gateway, where it does not answer: it is next door, and may be asked in three languages.
"""
STREAM_PATIENCE: Seconds = 10.0
"""For a relay over TCP or TLS where nothing answers over UDP, so that there is no other way out:
four SYNs, at 0, 1, 3 and 7 s, and the answers after the last. With a tenth lost each way, 2 s
would miss it in one case of twenty."""

GRACE: Seconds = 0.005
"""How long a silent base has at the least, once another one has been answered."""


class Kind(Enum):
    """Who was asked: this host for a socket, a server, or the gateway for a port."""

    HOST = "host"
    REFLEXIVE = "stun"
    RELAYED = "turn"
    MAPPED = "gateway"


class Cause(Enum):
    """Why a question came to nothing."""

    TIMEOUT = "timeout"
    """Nothing came in all the time there was."""
    NOT_AWAITED = "not-awaited"
    """Nothing had come by the time that others had answered."""
    REFUSED = "refused"
    """The server answered with an error."""
    LOGIN = "login"
    """The server wants a login, and there is none, or its answers do not prove that it knows it."""
    UNUSABLE = "unusable"
    """The answer is of no use."""
    ICMP = "icmp"
    """Nobody listens there."""
    CONNECTION = "connection"
    """TCP did not connect, or the connection ended."""
    TLS = "tls"
    RESOLVE = "resolve"
    """The name has no address."""
    GATEWAY = "gateway"
    """The gateway maps no port."""
    LOCAL = "local"
    """This host has no socket for it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a question came to nothing.

    Attributes: code: of the server's error, if it answered with one.
    """

    cause: Cause
    words: str
    code: int | None = None


@dataclass(slots=True, eq=False)
class Inquiry:
    """One question to one server.

    Attributes:
        server:    as it was configured ("stun:stun.example.org:3478"), or the gateway and how it
                   was asked ("10.0.0.1 by PCP").
        base:      where it was asked from; None: from a socket of its own.
        interface: of the base, where known.
        asked_at, ended_at: when; ended_at is None while it is open.
        component: that it is for.
        in_stream: the server is asked over TCP or TLS.
        found:     what came of it; None: nothing, and `trouble` says why.
        is_new:    `found` was not known before.
        on_route:  packets to the server leave from this base; others are asked as well, but as a
                   rule only what the routing table names gets answers, so they are not waited for.
    """

    kind: Kind
    server: str
    base: TransportAddress | None
    interface: str | None
    asked_at: Instant
    component: int = 1
    in_stream: bool = False
    ended_at: Instant | None = None
    found: Local | None = None
    is_new: bool = False
    on_route: bool = True
    trouble: Trouble | None = None

    @property
    def error(self) -> str | None:
        """In words, why nothing came of it."""
        return None if self.trouble is None else self.trouble.words

    @property
    def is_refused(self) -> bool:
        """True when the login does not do."""
        trouble = self.trouble
        return trouble is not None and (trouble.cause is Cause.LOGIN or trouble.code in (401, 441))

    @property
    def asker(self) -> Hashable:
        """What one good answer suffices for: a base; or this very inquiry, if it has none."""
        return self.base or id(self)

    @property
    def is_ipv6(self) -> bool:
        """True when it was asked over IPv6."""
        return self.base is not None and self.base.is_ipv6

    @property
    def took(self) -> Seconds | None:
        """Seconds until it ended; None while it is open."""
        return None if self.ended_at is None else self.ended_at - self.asked_at


def settled_at(inquiries: Sequence[Inquiry], patience: Seconds) -> Instant:
    """Return when gathering ends as things stand, all inquiries having begun.

    Each kind of question has to be answered well enough (`_group_settled_at`). IPv6 is not waited
    for once IPv4 has its answer: addresses are seldom translated there, and the path often broken.
    Where nobody has answered at all, what was asked over TCP has `STREAM_PATIENCE`.
    """
    asked = [it for it in inquiries if it.kind is Kind.REFLEXIVE]
    v4, v6 = ([it for it in asked if it.is_ipv6 is wanted] for wanted in (False, True))
    if any(it.found for it in v4) and not any(it.found for it in v6):
        v6 += v4
    relayed = [it for it in inquiries if it.kind is Kind.RELAYED]
    mapped = [it for it in inquiries if it.kind is Kind.MAPPED]
    settled = max(_group_settled_at(group, patience) for group in (v4, v6, relayed))
    settled = max(settled, _group_settled_at(mapped, min(patience, GATEWAY_PATIENCE)))
    if any(it.found for it in inquiries):
        return settled
    return max(settled, all_ended_at([it for it in relayed if it.in_stream], STREAM_PATIENCE))


def all_ended_at(inquiries: Sequence[Inquiry], patience: Seconds) -> Instant:
    """Return when the last of them ends, or has had all our patience."""
    ends = [it.asked_at + patience if it.ended_at is None else it.ended_at for it in inquiries]
    return max(ends, default=float("-inf"))


def _group_settled_at(asked: Sequence[Inquiry], patience: Seconds) -> Instant:
    """Return when a group of inquiries has said enough.

    At once when every base on the route has an answer, whichever server gave it: a dead server
    costs nothing, nor does an interface that leads nowhere. Where the one on the route is silent
    and another answers, or one of several TURN servers, it has as much time again as that took.
    """
    answered = [it for it in asked if it.found is not None and it.ended_at is not None]
    served = {it.asker for it in answered}
    left = [it for it in asked if it.asker not in served and (it.on_route or not answered)]
    if not answered or all(it.ended_at is not None for it in left):
        return all_ended_at(left, patience)
    first = min(answered, key=lambda it: it.ended_at or 0.0)
    return (first.ended_at or 0.0) + max(first.took or 0.0, GRACE)
