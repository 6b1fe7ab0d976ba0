"""Users, their devices and their contacts, in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from calto_demo.server.database import Database
from calto_demo.server.tables import contacts, devices, users

MOST_LISTED = 200


class User(NamedTuple):
    """A user as everybody may know them. Attributes: kind: "guest", "account" or "echo"."""

    id: str
    name: str
    kind: str


class NoSuchUser(LookupError):
    """There is nobody of that id."""


_USER = (users.c.id, users.c.name, users.c.kind)

# Those that a call or a hello asks are built once: to build one takes as long as to ask it.
_WHO: BindParameter[Any] = bindparam("who", expanding=True)
_LISTED = select(*_USER, users.c.last_seen).order_by(users.c.name, users.c.id).limit(MOST_LISTED)
_SOME = _LISTED.where(users.c.id.in_(_WHO))
_CHANGE = update(users).where(users.c.id == bindparam("user"))
_ON_DEVICE = (
    select(*_USER)
    .join(devices, devices.c.user_id == users.c.id)
    .where(users.c.id == bindparam("user"), devices.c.id == bindparam("device"))
    .where(devices.c.signed_out_at.is_(None))
)
_CONTACTS = select(contacts.c.contact_id).where(contacts.c.user_id == bindparam("user"))
_ACQUAINTED = select(contacts.c.user_id, contacts.c.contact_id).where(
    or_(contacts.c.user_id.in_(_WHO), contacts.c.contact_id.in_(_WHO))
)


class People:
    """Everybody this server knows.

    Args: new_id: makes an id that nobody can guess.
    """

    def __init__(self, database: Database, new_id: Any) -> None:
        self._database, self._new_id = database, new_id

    async def add(self, name: str, kind: str, *, now: float, id: str = "", **more: str) -> User:
        """Return a new user. Raises: IntegrityError: there is one already."""
        user = User(id or f"u-{self._new_id()}", name, kind)
        async with self._database.writing() as connection:
            row = {**user._asdict(), "created_at": now, **more}
            await connection.execute(insert(users).values(row))
        return user

    async def account(self, issuer: str, subject: str, name: str, *, now: float) -> User:
        """Return the user that a provider knows as `subject`, new where it is their first visit."""
        known = (users.c.issuer == issuer) & (users.c.subject == subject)
        try:
            return await self._one(known)
        except NoSuchUser:
            pass
        try:
            return await self.add(name, "account", now=now, issuer=issuer, subject=subject)
        except IntegrityError:  # signed in twice at once
            return await self._one(known)

    async def get(self, user: str) -> User:
        """Return somebody. Raises: NoSuchUser."""
        return await self._one(users.c.id == user)

    async def _one(self, which: ColumnElement[bool]) -> User:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(*_USER).where(which))).first()
        if row is None:
            raise NoSuchUser
        return User(*row)

    async def some(self, ids: Iterable[str]) -> list[tuple[User, float | None]]:
        """Return those of `ids` with when they were last seen, by name."""
        return await self._listed(_SOME, who=list(ids))

    async def search(self, named: str) -> list[tuple[User, float | None]]:
        """Return those whose name has a text."""
        return await self._listed(_LISTED.where(users.c.name.icontains(named, autoescape=True)))

    async def _listed(self, query: Select[Any], **values: Any) -> list[tuple[User, float | None]]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query, values)).all()
        return [(User(*row[:3]), row[3]) for row in rows]

    async def rename(self, user: str, name: str) -> User:
        """Give somebody another name. Raises: NoSuchUser."""
        await self._change(user, name=name)
        return await self.get(user)

    async def seen(self, user: str, *, now: float) -> None:
        """Note that somebody was here until now."""
        await self._change(user, last_seen=now)

    async def _change(self, user: str, **values: Any) -> None:
        async with self._database.writing() as connection:
            await connection.execute(_CHANGE, values | {"user": user})

    async def add_device(self, user: str, agent: str, *, now: float) -> str:
        """Return the id of a new device of somebody."""
        device = f"d-{self._new_id()}"
        row = {"id": device, "user_id": user, "agent": agent[:200], "created_at": now}
        async with self._database.writing() as connection:
            await connection.execute(insert(devices).values(row))
        return device

    async def on_device(self, user: str, device: str) -> User | None:
        """Return the user of a device; None: it was signed out, or is none of theirs."""
        async with self._database.reading() as connection:
            asked = {"user": user, "device": device}
            row = (await connection.execute(_ON_DEVICE, asked)).first()
        return None if row is None else User(*row)

    async def sign_out(self, device: str, *, now: float) -> None:
        """End a device's tokens."""
        async with self._database.writing() as connection:
            query = update(devices).where(devices.c.id == device).values(signed_out_at=now)
            await connection.execute(query)

    async def add_contact(self, user: str, contact: str) -> None:
        """Remember somebody for somebody; twice is harmless. Raises: NoSuchUser."""
        await self.get(contact)
        try:
            async with self._database.writing() as connection:
                row = {"user_id": user, "contact_id": contact}
                await connection.execute(insert(contacts).values(row))
        except IntegrityError:
            pass

    async def remove_contact(self, user: str, contact: str) -> None:
        """Forget somebody; twice is harmless."""
        which = (contacts.c.user_id == user) & (contacts.c.contact_id == contact)
        async with self._database.writing() as connection:
            await connection.execute(delete(contacts).where(which))

    async def contacts_of(self, user: str) -> set[str]:
        """Return whom somebody remembers."""
        async with self._database.reading() as connection:
            return set((await connection.execute(_CONTACTS, {"user": user})).scalars())

    async def acquainted(self, some: Collection[str]) -> dict[str, set[str]]:
        """Return for each of `some` whom they remember, and who remembers them."""
        found: dict[str, set[str]] = {user: set() for user in some}
        async with self._database.reading() as connection:
            pairs = (await connection.execute(_ACQUAINTED, {"who": list(some)})).all()
        for one, other in (both for a, b in pairs for both in ((a, b), (b, a))):
            if one in found and other != one:
                found[one].add(other)
        return found
