"""Calls in the database: each change of one is a transaction, so all server processes agree.

A call lives here from its first ring: a process that is killed takes no call with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Executable,
    Row,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from calto_demo.server.call import Call, Did, Reason, State, Time, advance, end, expire
from calto_demo.server.database import Database
from calto_demo.server.people import NoSuchUser
from calto_demo.server.tables import call_paths, calls, users

_FIELDS = tuple(field.name for field in fields(Call))
_COLUMNS = tuple(calls.c[name] for name in _FIELDS)

# Each query is built once: to build one takes as long as to ask it.
_THIS = calls.c.id == bindparam("call")
_WHO: BindParameter[Any] = bindparam("who", expanding=True)
_ALL_LIVE = select(*_COLUMNS).where(calls.c.state != State.ENDED.value)
_LIVE_OF = _ALL_LIVE.where(or_(calls.c.caller.in_(_WHO), calls.c.callee.in_(_WHO)))
_LIVE_OF_WITH_OFFERS = _LIVE_OF.add_columns(calls.c.offer)
_ONE = select(*_COLUMNS).where(_THIS)
_ONE_LOCKED = _ONE.with_for_update()
_BOTH_LOCKED = select(users.c.id).where(users.c.id.in_(_WHO)).order_by(users.c.id).with_for_update()
_DUE = select(calls.c.id).where(calls.c.deadline <= bindparam("now")).limit(200)
_BEGIN, _CHANGE = insert(calls), update(calls).where(_THIS)
_PATHS = select(call_paths).where(call_paths.c.call_id.in_(bindparam("calls", expanding=True)))


class NoSuchCall(LookupError):
    """There is no call of that id, or not for whoever asks."""


class CallExists(ValueError):
    """That id was used before, by somebody else or for another call."""


class Engaged(ValueError):
    """Who rings is in a call."""


class Change(NamedTuple):
    """A call before and after something. Attributes: before: None: it is new."""

    before: Call | None
    after: Call


class Ledger:
    """All calls there are and were.

    Args: never_busy: users who can be in many calls at once.
    """

    def __init__(self, database: Database, never_busy: frozenset[str] = frozenset()) -> None:
        self._database, self._never_busy = database, never_busy

    async def begin(self, call: Call, offer: str, *, reachable: bool) -> Change:
        """Keep a new call: waiting, or ended where it cannot be.

        Args:   reachable: the callee has a socket.
        Raises: CallExists, Engaged, NoSuchUser.
        """
        async with self._database.writing() as connection:
            # Both users' rows are locked, in one order, so that two who ring each other are
            # served one after the other. On SQLite there is one writer anyway.
            both = {"who": [call.caller, call.callee]}
            if len((await connection.execute(_BOTH_LOCKED, both)).all()) < 2:
                raise NoSuchUser
            known = await _find(connection, call.id)
            if known is not None:
                return Change(known, _same_ring(known, call))
            live = await _all(connection, _LIVE_OF, **both)
            call = self._judged(call, live, reachable=reachable)
            row = _row(call) | {"offer": None if call.is_over else offer}
            await connection.execute(_BEGIN, row)
            return Change(None, call)

    def _judged(self, call: Call, live: list[Call], *, reachable: bool) -> Call:
        """Return a new call as the calls that the two are in let it be. Raises: Engaged."""
        now = call.started_at
        for other in live:
            if other.is_waiting and (other.caller, other.callee) == (call.callee, call.caller):
                return end(call, Reason.GLARE, now=now)
        for other in live:
            # Being rung does not keep anybody from ringing somebody else.
            if call.caller == other.caller or (
                call.caller == other.callee and not other.is_waiting
            ):
                raise Engaged
        if not reachable:
            return end(call, Reason.OFFLINE, now=now)
        busy = any(call.callee in (other.caller, other.callee) for other in live)
        if busy and call.callee not in self._never_busy:
            return end(call, Reason.BUSY, now=now, by=call.callee)
        return call

    async def advance(self, call_id: str, did: Did, *, now: Time) -> Change:
        """Do something to a call. Raises: NoSuchCall, WrongState."""
        return await self.change(call_id, lambda call: advance(call, did, now=now))

    async def expire(self, call_id: str, *, now: Time) -> Change:
        """End a call where its time has come. Raises: NoSuchCall."""
        return await self.change(call_id, lambda call: expire(call, now=now))

    async def change(self, call_id: str, how: Callable[[Call], Call]) -> Change:
        """Make another one of a call, in one transaction. Raises: NoSuchCall, and what `how` does.

        Args: how: takes the call as it is now, and returns it as it shall be.
        """
        async with self._database.writing() as connection:
            before = await _find(connection, call_id, lock=True)
            if before is None:
                raise NoSuchCall
            after = how(before)
            if after != before:
                row = _row(after) | ({} if after.is_waiting else {"offer": None})
                await connection.execute(_CHANGE, row | {"call": call_id})
            return Change(before, after)

    async def get(self, call_id: str) -> Call:
        """Return a call. Raises: NoSuchCall."""
        async with self._database.reading() as connection:
            call = await _find(connection, call_id)
        if call is None:
            raise NoSuchCall
        return call

    async def due(self, *, now: Time) -> list[str]:
        """Return calls whose time has come."""
        async with self._database.reading() as connection:
            return list((await connection.execute(_DUE, {"now": now})).scalars())

    async def live(self) -> list[Call]:
        """Return every call that is not over."""
        async with self._database.reading() as connection:
            return await _all(connection, _ALL_LIVE)

    async def live_of(self, user: str) -> list[tuple[Call, str | None]]:
        """Return somebody's calls that are not over, with the offers not answered yet."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_LIVE_OF_WITH_OFFERS, {"who": [user]})).all()
        return [(_call(row[:-1]), row[-1]) for row in rows]

    async def engaged(self, users: Iterable[str]) -> set[str]:
        """Return those of `users` who are in a call, or ring or are rung."""
        asked = set(users) - self._never_busy
        async with self._database.reading() as connection:
            found = await _all(connection, _LIVE_OF, who=list(asked))
        return asked & {user for call in found for user in (call.caller, call.callee)}

    async def history(self, user: str, *, before: Time | None, limit: int) -> list[Call]:
        """Return somebody's calls, the newest first."""
        query = select(*_COLUMNS).where(or_(calls.c.caller == user, calls.c.callee == user))
        if before is not None:
            query = query.where(calls.c.started_at < before)
        query = query.order_by(calls.c.started_at.desc(), calls.c.id).limit(limit)
        async with self._database.reading() as connection:
            return await _all(connection, query)

    async def keep_path(self, call_id: str, user: str, report: dict[str, Any]) -> None:
        """Keep what one side measured, in place of what it said before."""
        key = (call_paths.c.call_id == call_id) & (call_paths.c.user_id == user)
        async with self._database.writing() as connection:
            # The call's row is locked, so that two reports do not both find none.
            await _find(connection, call_id, lock=True)
            await connection.execute(delete(call_paths).where(key))
            row = {"call_id": call_id, "user_id": user, **report}
            await connection.execute(insert(call_paths).values(row))

    async def paths(self, call_ids: Iterable[str]) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what was measured, by call and user."""
        async with self._database.reading() as connection:
            found = await connection.execute(_PATHS, {"calls": list(call_ids)})
            rows = [dict(row) for row in found.mappings()]
        return {(row.pop("call_id"), row.pop("user_id")): row for row in rows}


def _same_ring(known: Call, call: Call) -> Call:
    """Return the known call where `call` is its ring, sent again. Raises: CallExists."""
    fields = ("caller", "caller_session", "callee")
    if any(getattr(known, name) != getattr(call, name) for name in fields):
        raise CallExists
    return known


async def _find(connection: AsyncConnection, call_id: str, *, lock: bool = False) -> Call | None:
    found = await _all(connection, _ONE_LOCKED if lock else _ONE, call=call_id)
    return found[0] if found else None


async def _all(connection: AsyncConnection, query: Executable, **values: Any) -> list[Call]:
    return [_call(row) for row in (await connection.execute(query, values)).all()]


def _call(row: Row[Any] | tuple[Any, ...]) -> Call:
    values = dict(zip(_FIELDS, row, strict=True))
    reason = values["reason"]
    values["state"] = State(values["state"])
    values["reason"] = None if reason is None else Reason(reason)
    return Call(**values)


def _row(call: Call) -> dict[str, Any]:
    row = {name: getattr(call, name) for name in _FIELDS}
    reason = None if call.reason is None else call.reason.value
    return row | {"deadline": call.deadline, "state": call.state.value, "reason": reason}
