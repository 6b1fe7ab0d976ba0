"""The database: an engine for a URL, brought up to date.

SQLite (a file, or in memory) and PostgreSQL are the two that are tested.
"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from calto_demo.server.sqlite import DRIVER, keep_moving_the_log, keep_private, sqlite_engine
from natkit import AuthenticationFailed, NatkitError, NetworkUnreachable, UsageError

MIGRATIONS = Path(__file__).parent / "migrations"

_DRIVERS = {
    "sqlite": DRIVER,
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


class Database:
    """An open database. Made by `open_database`; `close` it when done."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._readers = engine, engine.execution_options(reading=True)
        # SQLite has one writer at a time, and lets others look again: here they queue. It has a
        # connection of its own: giving one back takes four turns of the loop, and the next waits.
        self._queue = asyncio.Lock() if engine.dialect.name == "sqlite" else None
        self._writer: AsyncConnection | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one query, which changes nothing."""
        async with self._readers.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is kept, unless an exception comes out of it."""
        if self._queue is None:
            async with self._engine.begin() as connection:
                yield connection
            return
        async with self._queue:
            if self._writer is None:
                self._writer = await self._engine.connect()
            async with self._writer.begin():
                yield self._writer

    async def migrate(self) -> None:
        """Bring the tables up to date."""
        async with self._engine.begin() as connection:
            await connection.run_sync(_upgrade)

    async def keep_going(self) -> None:
        """Do what is to be done now and then while it is open."""
        url = self._engine.url
        if url.drivername == DRIVER and url.database:
            await keep_moving_the_log(url.database)

    async def close(self) -> None:
        """Let go of every connection."""
        if self._writer is not None:
            await self._writer.close()
        await self._engine.dispose()


async def open_database(url: str) -> Database:
    """Return the database at `url`, up to date.

    Args:   url: "sqlite:///FILE", or "postgresql://USER:PASSWORD@HOST/NAME", with "?sslmode=…" as
                 libpq has it.
    Raises: UsageError: the URL is none, or its file cannot be used.
            NetworkUnreachable: nothing answers there.  AuthenticationFailed: not with that login.
    """
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.get_backend_name()]
    except (ArgumentError, KeyError):
        hint = "Write sqlite:///calto.db, or postgresql://USER:PASSWORD@HOST/NAME"
        raise UsageError(f"{_shown(url)} is no database that Calto knows", hint=hint) from None
    if driver == DRIVER and not (parsed.database or ":memory:").startswith((":memory:", "file:")):
        keep_private(str(parsed.database))
    database = Database(_engine(parsed.set(drivername=driver)))
    try:
        await database.migrate()
    except (OSError, DBAPIError) as error:
        await database.close()
        raise _unusable(parsed, error) from error
    return database


def _unusable(url: URL, error: OSError | DBAPIError) -> NatkitError:
    """Return why a database cannot be used, and what to do about it."""
    cause = getattr(error, "orig", error)
    what, why = f"cannot use the database {url.render_as_string()}", str(cause)
    if url.get_backend_name() != "sqlite":
        # Class 28 of PostgreSQL's codes is "invalid authorization specification".
        if str(getattr(cause, "sqlstate", "")).startswith("28"):
            hint = "Are the user and the password right, and may they come from here?"
            return AuthenticationFailed(what, why=why, hint=hint)
        hint = "Is it running, and are the user, the password and the name right?"
        return NetworkUnreachable(what, why=why, hint=hint)
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return UsageError(what, why=why, hint="Name another file: this one is something else")
    hint = "Its folder has to be there, and both have to be ours to write"
    return UsageError(what, why=why, hint=hint)


def _shown(url: str) -> str:
    """Return what may be shown of something that is no URL: it may hold a password."""
    return repr(url.partition(":")[0] + ":…")


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(url)
    mode = url.query.get("sslmode", "prefer")
    options: dict[str, Any] = {} if mode == "prefer" else {"ssl": _tls(str(mode), url)}
    bare = url.difference_update_query(["sslmode", "sslrootcert"])
    return create_async_engine(bare, connect_args=options, pool_pre_ping=True)


def _tls(mode: str, url: URL) -> ssl.SSLContext | str:
    """Return what asyncpg takes for a sslmode, with the authority that the URL names."""
    if mode not in ("verify-ca", "verify-full"):
        return mode
    authority = str(url.query.get("sslrootcert", ""))
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except OSError as error:  # ssl.SSLError is one
        what, hint = f"cannot use the certificate {authority}", "sslrootcert names a PEM file"
        raise UsageError(what, why=str(error), hint=hint) from None
    context.check_hostname = mode == "verify-full"
    return context


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        # Two servers that start at once: the second waits, and finds it done.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7263470)")
    command.upgrade(config, "head")
