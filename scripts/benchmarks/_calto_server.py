"""The servers of Calto's benchmark: `calto serve` with users of its own, and PeerJS's from npm."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import insert

from calto_demo.server.database import open_database
from calto_demo.server.services import derived
from calto_demo.server.tables import contacts, devices, users
from calto_demo.server.tokens import Identity, Tokens
from natkit.errors import Unsupported
from scripts.benchmarks._relay_server import AT, Server, running

PEER = "peer@1.0.2"
KNOWN = 5
"""People whom each remembers, so that twice as many are told when they get busy, or free."""

SECRET = "a secret of the benchmark, 32 characters or more"


class Filled(NamedTuple):
    """Calto's server. Attributes: tokens: users with theirs.  database: its file."""

    server: Server
    tokens: list[tuple[str, str]]
    database: Path


@contextlib.contextmanager
def calto(port: int, people: int) -> Iterator[Filled]:
    """Run `calto serve` with SQLite, as it is by default, for users who have signed in before.

    Signing in is bounded to so many a minute; who has signed in keeps their token for a month, as
    the users here do: they are in the database, and their tokens are signed with its secret.
    """
    with tempfile.TemporaryDirectory(prefix="calto-bench-") as where:
        path = Path(where) / "calto.db"
        database = f"sqlite:///{path}"
        tokens = asyncio.run(_signed_in(database, people))
        argv = [sys.executable, "-m", "calto_demo.cli", "serve", "--listen", f"{AT}:{port}"]
        argv += ["--database", database, "--secret", SECRET, "--turn-port", "0"]
        with running(argv, port, "\nready ") as server:
            yield Filled(server, tokens, path)


async def _signed_in(url: str, people: int) -> list[tuple[str, str]]:
    names = [f"u-bench{number}" for number in range(people)]
    now = time.time()
    database = await open_database(url)
    async with database.writing() as connection:
        who = [{"id": name, "name": name, "kind": "guest", "created_at": now} for name in names]
        await connection.execute(insert(users), who)
        where = [
            {"id": f"d-{name}", "user_id": name, "agent": "bench", "created_at": now}
            for name in names
        ]
        await connection.execute(insert(devices), where)
        knows = [
            {"user_id": name, "contact_id": names[(number + step) % people]}
            for number, name in enumerate(names)
            for step in range(1, KNOWN + 1)
        ]
        await connection.execute(insert(contacts), knows)
    await database.close()
    tokens = Tokens(derived(SECRET, "tokens"))
    return [(name, tokens.mint(Identity(name, f"d-{name}"), now=now)[0]) for name in names]


@contextlib.contextmanager
def fetched() -> Iterator[Path]:
    """Fetch PeerJS's server with npm; gives its program. Raises: Unsupported."""
    with tempfile.TemporaryDirectory(prefix="peer-bench-") as where:
        words = ["npm", "install", "--no-save", "--no-audit", "--no-fund", PEER]
        try:
            subprocess.run(words, cwd=where, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = str(getattr(error, "stderr", error))
            raise Unsupported(f"{PEER} cannot be had from npm", why=why) from None
        yield Path(where) / "node_modules/.bin/peerjs"


@contextlib.contextmanager
def peer(program: Path, port: int, people: int) -> Iterator[Server]:
    """Run PeerJS's server as it is by default, but for how many it takes."""
    argv = [str(program), "--host", AT, "--port", str(port), "--concurrent_limit", str(people + 1)]
    with running(argv, port, "Started PeerServer") as server:
        yield server
