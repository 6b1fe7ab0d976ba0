"""A thousand sockets on one process, and calls among them: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from natkit import room_for_sockets
from scripts.benchmarks._calto_clients import CANDIDATES, CaltoClient, keep_alive
from scripts.benchmarks._calto_server import KNOWN, calto
from scripts.benchmarks.calto import closed, opened
from tests.ports import free_port

SOCKETS, CALLS, AT_ONCE = 1000, 100, 20


class Witness(CaltoClient):
    """A client that keeps all it is sent.

    Attributes:
        frames: those of calls.
        people: how it stands with others, as it was told last; told: how often.
        said:   frames of its own, which have numbers.
        gaps:   between the numbers of those that it got.
    """

    def __init__(self, user: str) -> None:
        super().__init__(user)
        self.frames: list[dict[str, Any]] = []
        self.people: dict[str, dict[str, Any]] = {}
        self.said = self.told = 0
        self.answers: asyncio.Queue[int] = asyncio.Queue()
        self.gaps: list[tuple[int, int]] = []

    def hear(self, data: bytes) -> None:
        frame = json.loads(data)
        if "seq" in frame and frame["seq"] != self._got + 1:
            self.gaps.append((self._got, frame["seq"]))
        super().hear(data)
        if frame["type"] == "presence":
            self.people[frame["person"]["id"]] = frame["person"]
            self.told += 1
        elif frame["type"] == "pong":
            self.answers.put_nowait(frame["ack"])
        elif frame["type"] != "welcome":
            self.frames.append(frame)

    def _numbered(self, kind: str, **fields: Any) -> bytes:
        self.said += 1
        return super()._numbered(kind, **fields)

    async def arrived(self) -> int:
        """Return how many of its frames the server has."""
        while not self.answers.empty():
            self.answers.get_nowait()
        self.socket.send(self.sign())
        async with asyncio.timeout(10):
            return await self.answers.get()

    def story(self) -> list[str]:
        """Return its call as it came: kinds, and the marks of candidates."""
        return [
            frame["candidate"]["candidate"].rpartition(" ")[2]
            if frame["type"] == "candidate"
            else frame.get("reason") or frame["type"]
            for frame in self.frames
        ]


async def call(a: Witness, b: Witness, turn: asyncio.Semaphore) -> None:
    async with turn:
        await a.meet(b)
        await a.part(b)


async def quiet(clients: Sequence[Witness]) -> None:
    """Wait until nobody is told of anybody any more."""
    before = -1
    async with asyncio.timeout(60):
        while before != (told := sum(client.told for client in clients)):
            before = told
            await asyncio.sleep(1.0)


async def everything(port: int, tokens: list[tuple[str, str]]) -> list[Witness]:
    """Open all, let pairs call each other, and check what each of them has heard."""
    clients: list[Witness] = []
    try:
        await opened([partial(Witness.open, port, *who) for who in tokens], clients)
        alive = asyncio.create_task(keep_alive(clients))
        await quiet(clients)  # all have heard of those who came
        await calls_among(clients)
        alive.cancel()
    finally:
        await closed(clients)
    return clients


async def calls_among(clients: Sequence[Witness]) -> None:
    for client in clients:
        client.people.clear()
    turn = asyncio.Semaphore(AT_ONCE)
    pairs = list(zip(clients[0 : 2 * CALLS : 2], clients[1 : 2 * CALLS : 2], strict=True))
    await asyncio.gather(*(call(a, b, turn) for a, b in pairs))
    await quiet(clients)
    for client in clients:
        assert client.gaps == [], client.user
        assert await client.arrived() == client.said, client.user
    candidates = [str(number) for number in range(CANDIDATES)]
    for a, b in pairs:
        assert a.story() == ["ringing", "accepted", *candidates, "connected", "hangup"]
        assert b.story() == ["incoming", *candidates, "connected", "hangup"]
        assert {frame["call"] for frame in a.frames + b.frames} == {a.call}
    assert sum(len(client.frames) for client in clients[2 * CALLS :]) == 0


def kept(path: Path) -> Counter[tuple[str, str]]:
    """Return how calls stand in the database, with how many there are of each."""
    with closing(sqlite3.connect(path)) as connection:
        query = (
            "SELECT state, reason FROM calls"
            " WHERE started_at <= ringing_at AND ringing_at <= answered_at"
            " AND answered_at <= connected_at AND connected_at <= ended_at"
        )
        return Counter(connection.execute(query).fetchall())


@pytest.mark.slow
def test_a_hundred_calls_among_a_thousand_sockets_lose_no_frame_no_record_and_no_word() -> None:
    room_for_sockets()
    with calto(free_port(1), SOCKETS) as (server, tokens, database):
        clients = asyncio.run(everything(server.address.port, tokens))
        assert kept(database) == {("ended", "hangup"): CALLS}
    users = [client.user for client in clients]
    called = set(users[: 2 * CALLS])
    for number, client in enumerate(clients):
        around = range(number - KNOWN, number + KNOWN + 1)
        known = {users[one % SOCKETS] for one in around} - {client.user}
        # Whoever knows one who called was told of them, and at last that they are free.
        assert client.people.keys() == known & called
        assert not any(person["busy"] for person in client.people.values())
