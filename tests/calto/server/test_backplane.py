"""The backplanes, by the same tests: memory, and with `interop` Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from calto_demo.server.backplane import Backplane, Memory
from calto_demo.server.redis_backplane import LIFETIME, RedisBackplane
from tests.calto.real_servers import redis
from tests.ports import free_port

REAL = [pytest.mark.interop, pytest.mark.needs("redis-server")]


class Heard:
    """What a process heard."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str | None, bytes]] = asyncio.Queue()

    def __call__(self, user: str | None, message: bytes) -> None:
        self.queue.put_nowait((user, message))

    async def next(self) -> tuple[str | None, bytes]:
        async with asyncio.timeout(20):
            return await self.queue.get()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def real_redis(tmp_path: Path) -> Iterator[str]:
    with redis(tmp_path) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", pytest.param("redis", marks=REAL)])
async def backplane(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Backplane]:
    if request.param == "memory":
        yield Memory()
    else:
        made = RedisBackplane(request.getfixturevalue("real_redis"), clock)
        yield made
        await made.close()


async def test_messages_come_to_who_listens_for_their_user_and_to_everybody(backplane: Backplane):
    heard = Heard()
    await backplane.start(heard)
    await backplane.listen("ada")
    await backplane.tell("ada", b"one")
    await backplane.tell(None, b"two")
    assert {await heard.next(), await heard.next()} == {("ada", b"one"), (None, b"two")}


async def test_who_is_here_is_online_with_the_nat_last_told_until_the_last_session_leaves(
    backplane: Backplane, clock: Clock
):
    await backplane.start(Heard())
    for user, session, nat in (
        ("ada", "tab", "open"),
        ("ada", "phone", "cone"),
        ("bob", "x", "open"),
    ):
        await backplane.come(user, session, nat)
        clock.now += 1
    assert await backplane.online(9) == {"ada": "cone", "bob": "open"}
    assert len(await backplane.online(1)) == 1
    assert await backplane.how_many() == 2
    await backplane.leave("ada", "phone")
    assert await backplane.nat_of("ada") == "open"
    assert await backplane.is_here("ada", "tab")
    assert not await backplane.is_here("ada", "phone")
    await backplane.leave("ada", "tab")
    assert await backplane.nat_of("ada") is None
    assert await backplane.online(9) == {"bob": "open"}
    assert await backplane.how_many() == 1
    assert await backplane.lost() == []


@pytest.mark.interop
@pytest.mark.needs("redis-server")
async def test_who_was_on_a_process_that_is_gone_is_told_to_one_of_the_others(
    real_redis: str, clock: Clock
):
    async with AsyncExitStack() as stack:
        gone, one, two = (RedisBackplane(real_redis, clock) for _ in range(3))
        for backplane in (gone, one, two):
            await backplane.start(Heard())
            stack.push_async_callback(backplane.close)
        await gone.come("ada", "tab", "open")  # and says so no more: the clock does not wait for it
        clock.now += LIFETIME - 0.1
        assert await one.nat_of("ada") == "open"
        clock.now += 0.1
        assert await one.nat_of("ada") is None
        assert [await one.lost(), await two.lost()] == [["ada"], []]


@pytest.mark.interop
@pytest.mark.needs("redis-server")
async def test_after_redis_was_started_again_messages_come_again(tmp_path: Path, clock: Clock):
    port, heard = free_port(1), Heard()
    async with AsyncExitStack() as stack:
        with redis(tmp_path, port) as url:
            backplane = RedisBackplane(url, clock)
            await backplane.start(heard)
            stack.push_async_callback(backplane.close)
            await backplane.listen("ada")
            await backplane.come("ada", "tab", "open")
        with redis(tmp_path, port):
            while heard.queue.empty():
                with contextlib.suppress(RedisError):  # of the connection that broke
                    await backplane.tell("ada", b"again")
                await asyncio.sleep(0.2)
            assert await heard.next() == ("ada", b"again")
