"""Everything that a running server consists of, put together and kept going."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from starlette.requests import HTTPConnection

from calto_demo.server.backplane import Backplane, Memory
from calto_demo.server.call import Call, What
from calto_demo.server.database import Database, open_database
from calto_demo.server.guard import RINGS_A_MINUTE, Guard, Rate
from calto_demo.server.hub import Hub
from calto_demo.server.ice_servers import IceServers
from calto_demo.server.ledger import Ledger
from calto_demo.server.metrics import Metrics
from calto_demo.server.names import ECHO_NAME
from calto_demo.server.path_words import explanation
from calto_demo.server.people import People
from calto_demo.server.presence import Presence
from calto_demo.server.realm import Realm
from calto_demo.server.refusal import Refused
from calto_demo.server.settings import Settings
from calto_demo.server.switchboard import Switchboard
from calto_demo.server.tables import keys
from calto_demo.server.tokens import Identity, Tokens
from natkit import UsageError

ECHO = "u-echo"
"""The contact that sends back what it hears."""

SWEEP, LOOK = 0.5, 3.0
"""Seconds between looks for calls whose time has come, and for processes that are gone."""

_log = logging.getLogger("calto")


def new_id() -> str:
    """Return twenty characters that nobody guesses: 100 bits."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(secrets.choice(alphabet) for _ in range(20))


@dataclass(slots=True)
class Services:
    """The parts of one process. Made by `open_services`; `close` it when done.

    Attributes: clock: Unix seconds.  monotonic: seconds that never go back.
    """

    settings: Settings
    secret: str
    database: Database
    people: People
    ledger: Ledger
    hub: Hub
    presence: Presence
    switchboard: Switchboard
    guard: Guard
    tokens: Tokens
    ice: IceServers
    metrics: Metrics
    realm: Realm
    guests: Rate
    rings: Rate
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    async def sign_in(self, user: str, agent: str) -> tuple[str, float]:
        """Return a token for a new device of somebody, and until when it is good."""
        return self.renew(user, await self.people.add_device(user, agent, now=self.clock()))

    def renew(self, user: str, device: str) -> tuple[str, float]:
        """Return a token for a device that has one."""
        return self.tokens.mint(Identity(user, device), now=self.clock())

    def url_of(self, request: HTTPConnection) -> str:
        """Return what clients call this server: what the owner says, or what was asked for."""
        if self.settings.external_url is not None:
            return self.settings.external_url.rstrip("/")
        return f"{self.settings.scheme}://{request.headers.get('host', 'localhost')}"

    def host_of(self, request: HTTPConnection) -> str:
        """Return the name of this server for TURN, IPv6 addresses in brackets."""
        host = urlsplit(self.url_of(request)).hostname or "localhost"
        return f"[{host}]" if ":" in host else host

    async def keep_path(self, call: Call, user: str, report: dict[str, Any]) -> str:
        """Keep which way a call went, as one side saw it (PathReport); return why, in words.

        Raises: Refused: the report contradicts itself.
        """
        peer = await self.people.get(call.other(user))
        theirs = (await self.ledger.paths([call.id])).get((call.id, peer.id))
        try:
            words = explanation(report, theirs, peer.name)
        except UsageError as error:
            raise Refused("bad-request", str(error)) from error
        await self.ledger.keep_path(call.id, user, report | {"explanation": words})
        return words

    async def gone(self, user: str, session: str) -> None:
        """Do what follows when a session's socket is gone."""
        await self.switchboard.moved(user, session, What.LEAVE)
        await self.people.seen(user, now=self.clock())
        self.presence.announce(user)

    async def keep_going(self) -> None:
        """Do what is due, again and again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.database.keep_going())
            group.create_task(self.presence.keep_telling())
            group.create_task(self._keep_sweeping())

    async def _keep_sweeping(self) -> None:
        next_look = 0.0
        while True:
            try:
                await self.switchboard.sweep()
                self.realm.tick(now=self.monotonic())
                if self.monotonic() >= next_look:
                    next_look = self.monotonic() + LOOK
                    await self._look()
            except Exception:  # a mistake in one round must not keep calls from ever ending
                _log.exception("what is due could not be done; it will be tried again")
            await asyncio.sleep(SWEEP)

    async def _look(self) -> None:
        await self.switchboard.look()
        await self.hub.forget()
        lost = await self.hub.backplane.lost()
        if lost:
            self.presence.announce(*lost)

    async def close(self) -> None:
        """Let go of everything."""
        await self.hub.backplane.close()
        await self.database.close()


async def open_services(settings: Settings) -> Services:
    """Put a server together. Raises: NatkitError: the database or Redis cannot be used."""
    database = await open_database(settings.database)
    try:
        return await _assemble(settings, database)
    except BaseException:
        await database.close()
        raise


async def _assemble(settings: Settings, database: Database) -> Services:
    clock, monotonic = time.time, time.monotonic
    secret = settings.secret or await _kept_secret(database)
    people, metrics = People(database, new_id), Metrics()
    ledger = Ledger(database, frozenset({ECHO}))
    hub = Hub(_backplane(settings, clock), clock, new_id())
    presence = Presence(hub, people, ledger, ECHO)
    tokens = Tokens(derived(secret, "tokens"))
    services = Services(
        settings=settings,
        secret=secret,
        database=database,
        people=people,
        ledger=ledger,
        hub=hub,
        presence=presence,
        switchboard=Switchboard(ledger, hub, presence, metrics, clock),
        guard=Guard(settings, tokens, people, clock),
        tokens=tokens,
        ice=IceServers(settings.turn_secret or derived(secret, "turn"), settings.turn_uris, clock),
        metrics=metrics,
        realm=Realm(),
        guests=Rate(settings.guests_a_minute, monotonic),
        rings=Rate(RINGS_A_MINUTE, monotonic),
        clock=clock,
        monotonic=monotonic,
    )
    with contextlib.suppress(IntegrityError):
        await people.add(ECHO_NAME, "echo", id=ECHO, now=clock())
    metrics.watch("calto_sockets", "Sessions that have a socket", lambda: hub.sockets)
    await hub.start()
    return services


def _backplane(settings: Settings, clock: Callable[[], float]) -> Backplane:
    if settings.redis is None:
        return Memory()
    from calto_demo.server.redis_backplane import RedisBackplane

    return RedisBackplane(settings.redis, clock)


def derived(secret: str, purpose: str) -> str:
    """Return a secret of its own for a purpose: who learns one learns no other."""
    return hmac.new(secret.encode(), f"calto {purpose}".encode(), hashlib.sha256).hexdigest()


async def _kept_secret(database: Database) -> str:
    """Return the secret that the database keeps, so that a restart signs nobody out."""
    with contextlib.suppress(IntegrityError):  # there is one, or another process is quicker
        async with database.writing() as connection:
            row = {"id": 1, "secret": secrets.token_hex(32)}
            await connection.execute(insert(keys).values(row))
    async with database.reading() as connection:
        return str((await connection.execute(select(keys.c.secret))).scalar_one())
