"""SQLite in the loop's own thread: others who write, and the log beside the file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from calto_demo.server import sqlite
from calto_demo.server.database import Database, open_database
from calto_demo.server.people import People


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calto.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await open_database(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
def other(database: Database, path: Path) -> Iterator[sqlite3.Connection]:
    """Another process, as far as SQLite knows, which is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def holds(path: Path, text: bytes) -> bool:
    return text in path.read_bytes()


async def test_who_writes_while_another_process_does_waits_for_it_and_the_loop_goes_on(
    database: Database, other: sqlite3.Connection
):
    people = People(database, lambda: "1")
    adding = asyncio.create_task(people.add("Ada", "guest", now=1.0))
    assert await people.search("Ada") == []  # who reads waits for nobody
    await asyncio.wait([adding], timeout=3 * sqlite._AGAIN)
    assert not adding.done()
    other.execute("COMMIT")
    await adding
    assert [user.name for user, _ in await people.search("Ada")] == ["Ada"]


async def test_a_writer_who_never_ends_is_told_of(
    database: Database, other: sqlite3.Connection, monkeypatch
):
    monkeypatch.setattr(sqlite, "BUSY", 0.0)
    people = People(database, lambda: "1")
    with pytest.raises(OperationalError, match="locked"):
        await people.add("Ada", "guest", now=1.0)
    other.execute("COMMIT")
    await people.add("Ada", "guest", now=1.0)  # the one before let go of everything


async def test_fifty_who_write_at_once_do_not_take_turns_of_the_loop(database: Database):
    people, turns = People(database, lambda: "1"), 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    await people.add("Ada", "guest", now=1.0)
    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(people.seen("u-1", now=float(number)) for number in range(50)))
    ticking.cancel()
    assert turns < 10


async def test_the_log_is_moved_while_somebody_reads_and_writes(
    database: Database, path: Path, monkeypatch
):
    monkeypatch.setattr(sqlite, "_MOVE_EVERY", 0.0)
    moving = asyncio.create_task(database.keep_going())
    people = People(database, lambda: "1")
    await people.add("Ada", "guest", now=1.0)
    async with asyncio.timeout(10):
        while not holds(path, b"Ada"):
            assert await people.search("Ada")
            await asyncio.sleep(0)
    await people.rename("u-1", "Bob")
    moving.cancel()
    assert [user.name for user, _ in await people.search("")] == ["Bob"]


async def test_a_log_that_cannot_be_moved_is_told_of_and_tried_again(
    database: Database, path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
):
    moved = 0

    def move(_path: str) -> None:
        nonlocal moved
        moved += 1
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite, "_MOVE_EVERY", 0.0)
    monkeypatch.setattr(sqlite, "_move_the_log", move)
    moving = asyncio.create_task(database.keep_going())
    async with asyncio.timeout(10):
        while moved < 2:
            await People(database, lambda: "1").search("")
            await asyncio.sleep(0)
    moving.cancel()
    assert "disk I/O error" in caplog.text
