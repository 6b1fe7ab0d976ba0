"""The backplane of several processes: Redis's publish and subscribe, and keys that expire.

    calto:u:USER     channel: messages to a user's sessions
    calto:all        channel: messages to everybody's
    calto:on:USER    hash: session → "UNTIL TOLD NAT": when its NAT was told
    calto:online     sorted set: user → UNTIL

Every process says again and again that its sessions are here; one that is killed stops saying so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from calto_demo.server.backplane import Hear
from natkit import NetworkUnreachable, UsageError

REFRESH = 3.0
"""Seconds between two times that a process says who is here."""

LIFETIME = 10.0
"""Seconds that this counts: three that are lost in a row are a process that is gone."""

_ALL, _ONLINE = "calto:all", "calto:online"
_log = logging.getLogger("calto.backplane")


class RedisBackplane:
    """A backplane over Redis. Args: clock: Unix seconds, the same in all processes."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        try:
            self._redis: Any = Redis.from_url(url, health_check_interval=15)
        except ValueError as error:
            hint = "Write redis://HOST:6379/0, or rediss:// for TLS"
            raise UsageError(
                f"--redis {_shown(url)} is no URL", why=str(error), hint=hint
            ) from None
        self._clock, self._url = clock, _shown(url)
        self._channel: Any = self._redis.pubsub(ignore_subscribe_messages=True)
        self._here: dict[tuple[str, str], tuple[float, str]] = {}
        self._listening: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, hear: Hear) -> None:
        """Begin. Raises: NetworkUnreachable: Redis does not answer."""
        try:
            await self._channel.subscribe(_ALL)
        except (RedisError, OSError) as error:
            hint = "Is it running, and are the host, the port and the password right?"
            what = f"cannot use Redis at {self._url}"
            raise NetworkUnreachable(what, why=str(error), hint=hint) from error
        self._tasks = [
            asyncio.create_task(self._hear(hear)),
            asyncio.create_task(self._refresh()),
        ]

    async def close(self) -> None:
        """Stop; who was here is so no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            for user, session in list(self._here):
                await self.leave(user, session)
        await self._channel.aclose()
        await self._redis.aclose()

    async def listen(self, user: str) -> None:
        """Hear messages to somebody from now on."""
        self._listening.add(user)
        await self._channel.subscribe(f"calto:u:{user}")

    async def unlisten(self, user: str) -> None:
        """Hear them no more."""
        self._listening.discard(user)
        await self._channel.unsubscribe(f"calto:u:{user}")

    async def tell(self, user: str | None, message: bytes) -> None:
        """Send to every process that listens."""
        await self._redis.publish(_ALL if user is None else f"calto:u:{user}", message)

    async def come(self, user: str, session: str, nat: str) -> None:
        """Note that a session has a socket here."""
        self._here[user, session] = self._clock(), nat
        await self._say([(user, session)])

    async def leave(self, user: str, session: str) -> None:
        """Note that it has none any more."""
        self._here.pop((user, session), None)
        await self._redis.hdel(f"calto:on:{user}", session)
        if not await self._sessions(user):
            await self._redis.zrem(_ONLINE, user)

    async def nat_of(self, user: str) -> str | None:
        """Return the NAT of somebody who is online."""
        sessions = await self._sessions(user)
        return max(sessions.values())[1] if sessions else None

    async def is_here(self, user: str, session: str) -> bool:
        """Tell whether a session has a socket, on any process."""
        return session in await self._sessions(user)

    async def online(self, most: int) -> dict[str, str]:
        """Return who is online with their NAT."""
        users = await self._redis.zrangebyscore(_ONLINE, self._clock(), "+inf", start=0, num=most)
        nats = {user.decode(): await self.nat_of(user.decode()) for user in users}
        return {user: nat for user, nat in nats.items() if nat is not None}

    async def how_many(self) -> int:
        """Return how many users are online."""
        return int(await self._redis.zcount(_ONLINE, self._clock(), "+inf"))

    async def lost(self) -> list[str]:
        """Return users whose process ended without a word."""
        users = await self._redis.zrangebyscore(_ONLINE, "-inf", self._clock())
        # Who takes somebody away is the one to tell of it.
        return [user.decode() for user in users if await self._redis.zrem(_ONLINE, user)]

    async def _sessions(self, user: str) -> dict[str, tuple[float, str]]:
        """Return somebody's sessions: when their NAT was told, and what it is."""
        found = {}
        for session, value in (await self._redis.hgetall(f"calto:on:{user}")).items():
            until, told, nat = value.decode().split(" ")
            if self._clock() < float(until):
                found[session.decode()] = (float(told), nat)
        return found

    async def _say(self, places: list[tuple[str, str]]) -> None:
        until = self._clock() + LIFETIME
        async with self._redis.pipeline(transaction=False) as pipeline:
            for user, session in places:
                key, (told, nat) = f"calto:on:{user}", self._here[user, session]
                pipeline.hset(key, session, f"{until} {told} {nat}")
                pipeline.expire(key, int(LIFETIME * 2))
                pipeline.zadd(_ONLINE, {user: until})
            await pipeline.execute()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH)
            try:
                if self._here:
                    await self._say(list(self._here))
            except (RedisError, OSError) as error:
                _log.warning("Redis does not answer: %s", error)

    async def _hear(self, hear: Hear) -> None:
        """Hand over what comes; when the connection is lost, the next one subscribes again."""
        while True:
            try:
                async for message in self._channel.listen():
                    name = message["channel"].decode()
                    hear(None if name == _ALL else name.removeprefix("calto:u:"), message["data"])
            except (RedisError, OSError) as error:
                _log.warning("Redis is gone: %s", error)
                await asyncio.sleep(0.5)


def _shown(url: str) -> str:
    """Return what may be shown of a URL: without its login."""
    scheme, separator, rest = url.partition("://")
    return repr(f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url)
