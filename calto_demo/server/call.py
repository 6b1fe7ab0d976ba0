"""One call, from the first ring to its end: a value, and a table of what may happen to it.

    calling ──▶ ringing ──▶ accepted ──▶ connected ──▶ ended

Rule of the file: no clock and no I/O. `advance` takes a call and what was done, and returns the
call after it; who is to be told follows from the two (`switchboard`). Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Time: TypeAlias = float
"""Unix seconds."""

Seconds: TypeAlias = float

RING_TIME: Seconds = 45.0
"""How long it rings: what phones do, seven or eight times."""

CONNECT_TIME: Seconds = 30.0
"""From accepting until audio flows: ICE gives up on a pair after less."""

AWAY_TIME: Seconds = 60.0
"""How long a socket may be away in a call: its media may be fine meanwhile."""

AWAY_TIME_RINGING: Seconds = 10.0
"""The same for a caller who is not answered yet: nothing is lost by ending."""


class State(StrEnum):
    """Where a call stands."""

    CALLING = "calling"
    RINGING = "ringing"
    ACCEPTED = "accepted"
    CONNECTED = "connected"
    ENDED = "ended"


class Reason(StrEnum):
    """Why a call has ended."""

    HANGUP = "hangup"
    DECLINED = "declined"
    BUSY = "busy"
    CANCELLED = "cancelled"
    NO_ANSWER = "no-answer"
    OFFLINE = "offline"
    FAILED = "failed"
    LOST = "lost"
    GLARE = "glare"


class Side(StrEnum):
    """Who of the two."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        """The one at the other end."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


class What(StrEnum):
    """What a side does, or what becomes of its socket."""

    RING = "ring"
    ACCEPT = "accept"
    DECLINE = "decline"
    HANG_UP = "hang up"
    FAIL = "fail"
    CONNECT = "connect"
    LEAVE = "leave"
    RETURN = "return"


class Did(NamedTuple):
    """One side did something.

    Attributes: session: the one that accepts.  message: what people are told, with an end.
    """

    side: Side
    what: What
    session: str = ""
    message: str | None = None


class Next(NamedTuple):
    """Where it leads."""

    state: State
    reason: Reason | None = None


class WrongState(ValueError):
    """It does not fit where the call stands."""


def _table() -> dict[tuple[State, Side, What], Next]:
    caller, callee = Side
    table: dict[tuple[State, Side, What], Next] = {}

    def row(states: Iterable[State], sides: Iterable[Side], what: What, leads: Next) -> None:
        table.update({(state, side, what): leads for state in states for side in sides})

    waiting, talking = (State.CALLING, State.RINGING), (State.ACCEPTED, State.CONNECTED)
    row(waiting, [callee], What.RING, Next(State.RINGING))
    row(waiting, [callee], What.ACCEPT, Next(State.ACCEPTED))
    row(waiting, [callee], What.DECLINE, Next(State.ENDED, Reason.DECLINED))
    row(waiting, [callee], What.HANG_UP, Next(State.ENDED, Reason.DECLINED))
    row(waiting, [caller], What.HANG_UP, Next(State.ENDED, Reason.CANCELLED))
    row(waiting, Side, What.FAIL, Next(State.ENDED, Reason.FAILED))
    row(talking, Side, What.CONNECT, Next(State.CONNECTED))
    row(talking, Side, What.HANG_UP, Next(State.ENDED, Reason.HANGUP))
    row(talking, Side, What.FAIL, Next(State.ENDED, Reason.FAILED))
    # Two say goodbye at once, or a word was on its way when it ended: nobody did wrong.
    for what in (What.RING, What.DECLINE, What.HANG_UP, What.FAIL, What.CONNECT):
        row([State.ENDED], Side, what, Next(State.ENDED))
    for state in State:
        sides = [caller] if state in waiting else list(Side)
        row([state], sides, What.LEAVE, Next(state))
        row([state], sides, What.RETURN, Next(state))
    return table


TABLE = _table()
"""What may happen in a state, by side; what is not here is refused."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call.

    Attributes:
        id:       made by the caller's client.
        caller, callee: users.
        caller_session, callee_session: where each is in it; the callee is nowhere until accepting.
        path:     what the caller wants: "auto", "relay", "direct".
        by:       the user who ended it; None: nobody did.
        caller_away_since, callee_away_since: None: their socket is there.
    """

    id: str
    caller: str
    caller_session: str
    callee: str
    path: str
    started_at: Time
    state: State = State.CALLING
    reason: Reason | None = None
    by: str | None = None
    message: str | None = None
    callee_session: str | None = None
    ringing_at: Time | None = None
    answered_at: Time | None = None
    connected_at: Time | None = None
    ended_at: Time | None = None
    caller_away_since: Time | None = None
    callee_away_since: Time | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more comes of it."""
        return self.state is State.ENDED

    @property
    def is_waiting(self) -> bool:
        """Nobody has accepted yet."""
        return self.state in (State.CALLING, State.RINGING)

    def side(self, user: str, session: str) -> Side | None:
        """Return whose side a session is on; None: it has no part in this call (any more)."""
        if user == self.caller:
            return Side.CALLER if session == self.caller_session else None
        if user == self.callee and self.callee_session in (None, session):
            return Side.CALLEE
        return None

    def other(self, user: str) -> str:
        """Return whom a user is in it with."""
        return self.callee if user == self.caller else self.caller

    def user(self, side: Side) -> str:
        """Return who is on a side."""
        return self.caller if side is Side.CALLER else self.callee

    def session(self, side: Side) -> str | None:
        """Return where they are in it."""
        return self.caller_session if side is Side.CALLER else self.callee_session

    def away_since(self, side: Side) -> Time | None:
        """Return since when a side's socket is away; None: it is there."""
        return self.caller_away_since if side is Side.CALLER else self.callee_away_since

    @property
    def deadline(self) -> Time | None:
        """When `expire` ends it, unless something happens; None: it is over."""
        if self.is_over:
            return None
        return min((at for at, _ in self._ends()), default=None)

    def _ends(self) -> Iterable[tuple[Time, Reason]]:
        """Yield every end that time brings."""
        if self.is_waiting:
            yield self.started_at + RING_TIME, Reason.NO_ANSWER
        elif self.state is State.ACCEPTED and self.answered_at is not None:
            yield self.answered_at + CONNECT_TIME, Reason.FAILED
        patience = AWAY_TIME_RINGING if self.is_waiting else AWAY_TIME
        for since in (self.caller_away_since, self.callee_away_since):
            if since is not None:
                yield since + patience, Reason.LOST


def advance(call: Call, did: Did, *, now: Time) -> Call:
    """Return the call after a side did something.

    Raises: WrongState: it does not fit; the call stays as it is.
    """
    leads = TABLE.get((call.state, did.side, did.what))
    if leads is None:
        raise WrongState(f"the call is {call.state}: the {did.side} cannot {did.what}")
    match did.what:
        case What.LEAVE:
            return call if call.is_over else _away(call, did.side, call.away_since(did.side) or now)
        case What.RETURN:
            return call if call.is_over else _away(call, did.side, None)
    if leads.state is call.state:
        return call
    if leads.reason is not None:
        return end(call, leads.reason, now=now, by=call.user(did.side), message=did.message)
    match leads.state:
        case State.RINGING:
            return replace(call, state=leads.state, ringing_at=now)
        case State.ACCEPTED:
            return replace(call, state=leads.state, answered_at=now, callee_session=did.session)
        case _:
            return replace(call, state=leads.state, connected_at=now)


def expire(call: Call, *, now: Time) -> Call:
    """Return the call as time has left it: the same while `now < call.deadline`."""
    if call.is_over:
        return call
    due = min((end for end in call._ends() if end[0] <= now), default=None)
    return call if due is None else end(call, due[1], now=now)


def end(
    call: Call, reason: Reason, *, now: Time, by: str | None = None, message: str | None = None
) -> Call:
    """Return the call, ended."""
    return replace(call, state=State.ENDED, reason=reason, by=by, message=message, ended_at=now)


def _away(call: Call, side: Side, since: Time | None) -> Call:
    if side is Side.CALLER:
        return replace(call, caller_away_since=since)
    return replace(call, callee_away_since=since)
