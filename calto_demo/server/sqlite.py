"""SQLite in the event loop's own thread.

Nothing that Calto asks of it waits for a disk: a transaction goes into the write-ahead log, which
the system writes when it likes. What does wait, moving the log into the file, is a thread's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, StaticPool
from sqlalchemy.util import await_

DRIVER = "sqlite+calto"

BUSY = 30.0
"""Seconds that a writer waits for one in another process."""

_AGAIN = 0.005
"""Seconds between its looks."""

_HELD_UP = 0.05
"""Seconds that SQLite itself may wait, and all else with it: another process ends its step."""

_MOVE_EVERY = 1.0
"""Seconds. At fifty calls a second the log has ten megabytes by then."""

_LONGEST_LOG = 20_000
"""Pages of 4 kB, after which the log is moved by whoever writes: the thread does not keep up."""

_log = logging.getLogger("calto.sqlite")


class InLoop(SQLiteDialect_pysqlite):
    """Python's own driver, for SQLAlchemy's asyncio: nothing that it does is waited for."""

    driver = "calto"
    is_async = True
    supports_statement_cache = True


class _Cursor(sqlite3.Cursor):
    """A cursor as SQLAlchemy's asyncio wants it."""

    server_side = False

    def execute(self, sql: str, parameters: Any = ()) -> Self:
        """Do a step. What awaits nothing is taken for a mistake, so it awaits what is there."""
        await_(_at_once())
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Self:
        """Do a step for each of many rows."""
        await_(_at_once())
        return super().executemany(sql, parameters)

    async def _async_soft_close(self) -> None:
        """Nothing is open anywhere else."""


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


async def _at_once() -> None:
    """Be done."""


registry.register("sqlite.calto", __name__, InLoop.__name__)


def keep_private(path: str) -> None:
    """Make the database's file one that its owner alone can read: the secret of tokens is in it.

    SQLite gives its log and its index (-wal, -shm) the same mode.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        file = Path(path)
        readable = file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        if os.name == "posix" and file.is_file() and readable:
            what = "others here can read %s, and with it sign in as anybody: chmod 600 %s*"
            _log.warning(what, path, path)
    except OSError:
        pass  # SQLite says why it cannot be opened


def sqlite_engine(url: URL) -> AsyncEngine:
    """Return an engine."""
    # Steps that change nothing are left out: every transaction is ended where it is begun, and a
    # single query needs none.
    engine = create_async_engine(
        url,
        connect_args={"timeout": _HELD_UP, "factory": _Connection},
        pool_reset_on_return=None,
        # Who waits for a free connection does not stop the loop. In memory there can be but one.
        poolclass=AsyncAdaptedQueuePool if url.database else StaticPool,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver's guess
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # With a write-ahead log nothing is torn by a crash; the last moments before one may be missing.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Begin as a writer at once: who becomes one later can find that another was quicker."""
    if connection.get_execution_options().get("reading"):
        return
    until = time.monotonic() + BUSY
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() >= until:
                raise
            await_(asyncio.sleep(_AGAIN))
        else:
            return


async def keep_moving_the_log(path: str) -> None:
    """Move what is in the log into the file, again and again; writers and readers go on meanwhile.

    SQLite's own way, with a transaction after every thousand pages, is twice a second at fifty
    calls a second, and everybody waits for the disk each time.
    """
    while True:
        await asyncio.sleep(_MOVE_EVERY)
        try:
            await asyncio.to_thread(_move_the_log, path)
        except sqlite3.Error as error:
            _log.warning("the log of %s could not be moved into it: %s", path, error)


def _move_the_log(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
