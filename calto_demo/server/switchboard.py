"""Calls as clients make them: each frame changes a call in the ledger, and both sides are told.

Rule of the file: the ledger decides, and what it has decided is told afterwards, never before.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from calto_demo.server import frames
from calto_demo.server.call import Call, Did, Side, State, What, WrongState, advance
from calto_demo.server.hub import Hub
from calto_demo.server.ledger import CallExists, Change, Engaged, Ledger, NoSuchCall
from calto_demo.server.metrics import Metrics
from calto_demo.server.people import NoSuchUser, User
from calto_demo.server.presence import Presence
from calto_demo.server.records import record
from calto_demo.server.refusal import Refused

REMEMBERED = 10_000
"""Calls whose two sessions are known without asking the database: after accepting, they stay."""

NO_SUCH_CALL = "there is no such call"

_log = logging.getLogger("calto.calls")


class Switchboard:
    """Handles the frames of calls.

    Args:       clock: Unix seconds.
    Attributes: draining: no new calls are taken.
    """

    def __init__(
        self,
        ledger: Ledger,
        hub: Hub,
        presence: Presence,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._hub, self._presence = ledger, hub, presence
        self._metrics, self._clock = metrics, clock
        self._accepted: OrderedDict[str, Call] = OrderedDict()
        self.draining = False

    async def handle(self, user: User, session: str, frame: frames.CallFrame) -> None:
        """Do what a client asks. Raises: Refused: it cannot be done."""
        match frame:
            case frames.Ring():
                await self._ring(user, session, frame)
            case frames.Candidate() | frames.Offer() | frames.Answer() | frames.Mute():
                await self._pass_on(user, session, frame)
            case frames.Connected() if self._is_connected(frame.call):
                await self._pass_on(user, session, frame)  # of the two the second changes nothing
            case _:
                await self._do(user, session, frame)

    async def _ring(self, user: User, session: str, frame: frames.Ring) -> None:
        if self.draining:
            raise Refused("draining", "this server is about to stop", "Try again in a minute")
        if frame.to == user.id:
            raise Refused("no-such-user", "you cannot ring yourself")
        now = self._clock()
        call = Call(frame.call, user.id, session, frame.to, frame.path, started_at=now)
        nat = await self._hub.backplane.nat_of(user.id) or "unknown"
        reachable = await self._hub.backplane.nat_of(frame.to) is not None
        try:
            change = await self._begin(call, frame.sdp, reachable=reachable)
        except CallExists:
            raise Refused("call-exists", "that id was used for another call") from None
        except Engaged:
            raise Refused("engaged", "you are in a call", "Hang up first") from None
        except NoSuchUser:
            raise Refused("no-such-user", "there is nobody of that id") from None
        if change.before is not None:
            return
        _log.info("call begins", extra={"call": call.id, "from": user.id, "to": frame.to})
        self._metrics.calls.inc()
        if not change.after.is_over:
            incoming = {
                "type": "incoming",
                "call": call.id,
                "peer": user._asdict(),
                "peer_nat": nat,
                "path": call.path,
                "sdp": frame.sdp,
                "started_at": now,
            }
            await self._hub.tell(call.callee, incoming)
            self._presence.announce(call.caller, call.callee)
        else:
            await self._tell_end(change.after)

    async def _begin(self, call: Call, offer: str, *, reachable: bool) -> Change:
        """Keep a new call. Raises: what `Ledger.begin` does."""
        try:
            return await self._ledger.begin(call, offer, reachable=reachable)
        except Engaged:
            if not await self._leave_others(call.caller, call.caller_session):
                raise
            return await self._ledger.begin(call, offer, reachable=reachable)

    async def _leave_others(self, user: str, session: str) -> bool:
        """Hang up where somebody's socket is away: who rings from elsewhere has left that call.

        Returns: whether there was such a call.
        """
        left = False
        for call, _ in await self._ledger.live_of(user):
            for side in Side:
                mine = call.user(side) == user and call.session(side) not in (None, session)
                if mine and call.away_since(side) is not None:
                    did = Did(side, What.HANG_UP)
                    await self._tell(await self._ledger.advance(call.id, did, now=self._clock()))
                    left = True
        return left

    async def _do(self, user: User, session: str, frame: frames.CallFrame) -> None:
        what, message = _WHAT[type(frame)], None
        if isinstance(frame, frames.HangUp):
            what = What.FAIL if frame.reason == "failed" else What.HANG_UP
            message = frame.message

        def done(call: Call) -> Call:
            did = Did(_side(call, user, session), what, session, message)
            return advance(call, did, now=self._clock())

        try:
            change = await self._ledger.change(frame.call, done)
        except NoSuchCall:
            raise Refused("no-such-call", NO_SUCH_CALL) from None
        except WrongState as error:
            raise Refused("wrong-state", str(error)) from None
        await self._tell(change, frame.sdp if isinstance(frame, frames.Accept) else "")
        if isinstance(frame, frames.Connected) and not change.after.is_over:
            self._remember(change.after)
            side = _side(change.after, user, session)
            await self._to_other(change.after, side, frames.passed_on(frame))

    def _is_connected(self, call: str) -> bool:
        known = self._accepted.get(call)
        return known is not None and known.state is State.CONNECTED

    async def _pass_on(
        self, user: User, session: str, frame: frames.Passed | frames.Connected
    ) -> None:
        call = self._accepted.get(frame.call)
        if call is None:
            try:
                call = await self._ledger.get(frame.call)
            except NoSuchCall:
                raise Refused("no-such-call", NO_SUCH_CALL) from None
        side = _side(call, user, session)
        if call.is_waiting or call.is_over:
            raise Refused("wrong-state", f"the call is {call.state}")
        self._remember(call)
        await self._to_other(call, side, frames.passed_on(frame))

    async def _to_other(self, call: Call, side: Side, frame: dict[str, Any]) -> None:
        other = side.other
        await self._hub.tell(call.user(other), frame, only=call.session(other))

    async def _tell(self, change: Change, answer: str = "") -> None:
        """Tell both sides what has become of a call."""
        before, call = change
        if before is None or before.state is call.state:
            return
        match call.state:
            case State.RINGING:
                frame = {"type": "ringing", "call": call.id}
                await self._to_other(call, Side.CALLEE, frame)
            case State.ACCEPTED:
                await self._tell_accepted(call, answer)
            case State.ENDED:
                await self._tell_end(call)

    async def _tell_accepted(self, call: Call, answer: str) -> None:
        self._remember(call)
        nat = await self._hub.backplane.nat_of(call.callee) or "unknown"
        accepted = {"type": "accepted", "call": call.id, "sdp": answer, "peer_nat": nat}
        await self._to_other(call, Side.CALLEE, accepted)
        stop = {"type": "stop", "call": call.id, "reason": "answered-elsewhere"}
        await self._hub.tell(call.callee, stop, but=call.callee_session or "")

    async def _tell_end(self, call: Call) -> None:
        self._accepted.pop(call.id, None)
        reason = str(call.reason)
        self._metrics.ended.labels(reason).inc()
        _log.info("call ended", extra={"call": call.id, "reason": reason})
        paths = await self._ledger.paths([call.id])
        people = await self._presence.users(call.caller, call.callee)
        for side in Side:
            user, peer = call.user(side), people[call.user(side.other)]
            ended = {
                "type": "ended",
                "call": call.id,
                "reason": reason,
                "by": call.by,
                "message": call.message,
                "record": record(call, user, peer, paths),
            }
            await self._hub.tell(user, ended)
        self._presence.announce(call.caller, call.callee)

    async def live(self, user: User, session: str) -> list[dict[str, Any]]:
        """Return the calls that a session is in, or that ring there (Live of the protocol)."""
        found = []
        for call, offer in await self._ledger.live_of(user.id):
            side = call.side(user.id, session)
            if side is None:
                continue
            peer = call.user(side.other)
            found.append(
                {
                    "call": call.id,
                    "direction": "out" if side is Side.CALLER else "in",
                    "peer": (await self._presence.user(peer))._asdict(),
                    "peer_nat": await self._hub.backplane.nat_of(peer) or "unknown",
                    "state": call.state,
                    "path": call.path,
                    "started_at": call.started_at,
                    "sdp": offer if side is Side.CALLEE else None,
                }
            )
        return found

    async def moved(self, user: str, session: str, what: What) -> None:
        """Note that a session's socket is away, or here again, in the calls that it is in."""
        for call, _ in await self._ledger.live_of(user):
            side = call.side(user, session)
            if side is not None and call.session(side) == session:
                await self._move(call, side, what)

    async def _move(self, call: Call, side: Side, what: What) -> None:
        change = await self._ledger.advance(call.id, Did(side, what), now=self._clock())
        if change.before != change.after and not change.after.is_waiting:
            how = "lost" if what is What.LEAVE else "back"
            await self._to_other(call, side, {"type": "peer", "call": call.id, "signalling": how})

    async def sweep(self) -> None:
        """End the calls whose time has come."""
        now = self._clock()
        for call_id in await self._ledger.due(now=now):
            await self._tell(await self._ledger.expire(call_id, now=now))

    async def look(self) -> None:
        """Set right who is away: a process that was killed did not say so."""
        for call in await self._ledger.live():
            for side in Side:
                session = call.session(side)
                if session is None:
                    continue
                here = await self._hub.backplane.is_here(call.user(side), session)
                if here != (call.away_since(side) is None):
                    await self._move(call, side, What.RETURN if here else What.LEAVE)

    def _remember(self, call: Call) -> None:
        self._accepted[call.id] = call
        if len(self._accepted) > REMEMBERED:
            self._accepted.popitem(last=False)


_WHAT: dict[type, What] = {
    frames.Ringing: What.RING,
    frames.Accept: What.ACCEPT,
    frames.Decline: What.DECLINE,
    frames.HangUp: What.HANG_UP,
    frames.Connected: What.CONNECT,
}


def _side(call: Call, user: User, session: str) -> Side:
    """Return whose side a session is on. Raises: Refused: on none."""
    side = call.side(user.id, session)
    if side is not None:
        return side
    if user.id in (call.caller, call.callee):
        raise Refused("wrong-state", "another session of yours has this call")
    # Not to tell from one that never was: others' calls are nobody's business.
    raise Refused("no-such-call", NO_SUCH_CALL)
