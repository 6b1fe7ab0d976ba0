"""What the two sides of a call tell each other, sorted by attempt."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from natkit.aio.connection import Connection
from natkit.errors import NatkitError
from natkit.ice.candidate import Candidate, MalformedCandidate
from natkit.ice.credentials import Credentials
from natkit.machine import Seconds
from natkit.rendezvous.description import Description
from natkit.rendezvous.ping import Pinger


class Signalling(Protocol):
    """How the two tell each other what ICE needs."""

    @property
    def trickles(self) -> bool:
        """More can be told later, and restarts."""

    def password(self, ufrag: str) -> str | None:
        """Return the password that goes with a user fragment; None: it has to be told."""

    async def arrival(self) -> None:
        """Wait until the other one is there. Raises: NatkitError: nobody will come."""

    async def tell(self, part: Description) -> None:
        """Tell the other one. Raises: NatkitError: it cannot be reached."""

    async def hear(self) -> Description:
        """Return what the other one tells next. Raises: NatkitError: nothing will come."""

    async def close(self) -> None:
        """Say goodbye."""


class News:
    """Wakes up everybody who waits for something to happen."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Something has happened."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next thing."""
        await self._event.wait()


@dataclass(slots=True)
class Generation:
    """One attempt of ours.

    Attributes:
        number: 0, then one more for each restart.
        found:  candidates that were not told yet.
        ended:  there will be no more.
    """

    number: int
    own: Credentials
    found: list[Candidate] = field(default_factory=list)
    ended: bool = False


class Talk:
    """Tells and hears by attempt.

    Args: until_direct: for how long this side wants a direct path looked for, seconds.

    Attributes:
        until_direct: the longer of what the two sides want.
        trouble:      why nothing more can be told or heard; None: it can.
    """

    def __init__(self, signalling: Signalling, until_direct: Seconds) -> None:
        self._signalling = signalling
        self.until_direct = self._ours_until_direct = until_direct
        self.news = News()
        self.trouble: NatkitError | None = None
        self._heard: defaultdict[int, list[Description]] = defaultdict(list)
        self._newest = 0

    async def watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something whose failure is trouble."""
        try:
            await work()
        except NatkitError as error:
            self.trouble = self.trouble or error
            self.news.tell()

    # Telling.

    def found(self, generation: Generation, candidate: Candidate | None) -> None:
        """Take a candidate of ours to be told; None: it was the last one."""
        if candidate is None:
            generation.ended = True
        else:
            generation.found.append(candidate)
        self.news.tell()

    async def tell(self, generation: Generation) -> None:
        """Tell of an attempt as candidates are found, until its end, or a newer one begins."""
        self._newest = generation.number
        end_told = await self._tell_found(generation)
        while not end_told:
            while not (generation.found or generation.ended):
                await self.news.wait()
                if self._newest != generation.number:
                    return
            end_told = await self._tell_found(generation)

    async def _tell_found(self, generation: Generation) -> bool:
        """Tell what was not told yet; True: that was all there will be."""
        own, lines = generation.own, tuple(c.to_sdp() for c in generation.found)
        generation.found.clear()
        follows = self._signalling.password(own.ufrag) is not None
        part = Description(
            generation.number,
            own.ufrag,
            None if follows else own.password,
            lines,
            generation.ended,
            self._ours_until_direct,
        )
        await self._signalling.tell(part)
        return part.end

    # Hearing.

    async def listen(self) -> None:
        """Sort what is heard: the next attempt's waits, an old one's is dropped."""
        while True:
            part = await self._signalling.hear()
            if self._newest <= part.generation <= self._newest + 1:
                self._heard[part.generation].append(part)
                self.until_direct = max(self.until_direct, part.until_direct)
            self.news.tell()
            if not self._signalling.trickles:
                return

    def has_heard(self, number: int) -> bool:
        """Tell whether the peer has begun that attempt."""
        return bool(self._heard[number])

    async def meet(self, generation: Generation, connection: Connection) -> None:
        """Wait for the peer's credentials and give them to the connection, and the role.

        Raises: NatkitError: it is ourselves, or its password was not told.
        """
        while not self._heard[generation.number]:
            await self.news.wait()
        part, ours = self._heard[generation.number][0], generation.own.ufrag
        password = self._signalling.password(part.ufrag) or part.password
        if ours == part.ufrag or password is None:
            raise NatkitError(
                "this is not what the other side says",
                why="it is our own" if ours == part.ufrag else "it has no password",
                hint="Each side takes what the other one shows",
            )
        connection.remote_username, connection.remote_password = part.ufrag, password
        if generation.number == 0:  # whoever leads then leads to the end
            connection.ice_controlling = ours > part.ufrag

    def pinger(self, generation: Generation, connection: Connection, count: int) -> Pinger:
        """Return what pings the peer, once it was met: signed with what only the two know."""
        own, theirs = generation.own, connection.remote_username or ""
        both = sorted((own.password, connection.remote_password or ""))
        key = hashlib.sha256("\0".join(both).encode()).digest()
        return Pinger(key, own.ufrag.encode(), theirs.encode(), count)

    async def take(self, generation: Generation, connection: Connection) -> None:
        """Give the connection the candidates that are heard of an attempt, as long as this runs."""
        while True:
            while self._heard[generation.number]:
                await _add(self._heard[generation.number].pop(0), connection)
            await self.news.wait()


async def _add(part: Description, connection: Connection) -> None:
    for line in part.candidates:
        with contextlib.suppress(MalformedCandidate):
            await connection.add_remote_candidate(Candidate.from_sdp(line))
    if part.end:
        with contextlib.suppress(ValueError):  # it was told before
            await connection.add_remote_candidate(None)
