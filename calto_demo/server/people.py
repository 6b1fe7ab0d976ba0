"""Users, their devices and their contacts, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
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

    async def some(self, ids: Iterable[str], *, named: str = "") -> list[tuple[User, float | None]]:
        """Return those of `ids` with when they were last seen, by name.

        Args: named: leave out whose name does not have this.
        """
        query = select(*_USER, users.c.last_seen).where(users.c.id.in_(list(ids)))
        return await self._listed(query, named)

    async def search(self, named: str) -> list[tuple[User, float | None]]:
        """Return those whose name has a text."""
        return await self._listed(select(*_USER, users.c.last_seen), named)

    async def _listed(self, query: Any, named: str) -> list[tuple[User, float | None]]:
        if named:
            query = query.where(users.c.name.icontains(named, autoescape=True))
        query = query.order_by(users.c.name, users.c.id).limit(MOST_LISTED)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [(User(*row[:3]), row[3]) for row in rows]

    async def rename(self, user: str, name: str) -> User:
        """Give somebody another name. Raises: NoSuchUser."""
        await self._change(users.c.id == user, name=name)
        return await self.get(user)

    async def seen(self, user: str, *, now: float) -> None:
        """Note that somebody was here until now."""
        await self._change(users.c.id == user, last_seen=now)

    async def _change(self, which: ColumnElement[bool], **values: Any) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(users).where(which).values(values))

    async def add_device(self, user: str, agent: str, *, now: float) -> str:
        """Return the id of a new device of somebody."""
        device = f"d-{self._new_id()}"
        row = {"id": device, "user_id": user, "agent": agent[:200], "created_at": now}
        async with self._database.writing() as connection:
            await connection.execute(insert(devices).values(row))
        return device

    async def on_device(self, user: str, device: str) -> User | None:
        """Return the user of a device; None: it was signed out, or is none of theirs."""
        query = (
            select(*_USER)
            .join(devices, devices.c.user_id == users.c.id)
            .where(users.c.id == user, devices.c.id == device, devices.c.signed_out_at.is_(None))
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
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
        query = select(contacts.c.contact_id).where(contacts.c.user_id == user)
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    async def acquainted(self, user: str) -> set[str]:
        """Return whom somebody remembers, and who remembers them."""
        query = select(contacts).where(
            or_(contacts.c.user_id == user, contacts.c.contact_id == user)
        )
        async with self._database.reading() as connection:
            pairs = (await connection.execute(query)).all()
        return {one for pair in pairs for one in pair} - {user}
