"""Sessions that are here, and the way from a user to every session of theirs, on any process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from calto_demo.server.backplane import Backplane
from calto_demo.server.frames import write
from calto_demo.server.refusal import Refused
from calto_demo.server.session import Session

KEPT = 60.0
"""Seconds that a session without a socket is kept: as long as its call would be."""

MOST_SESSIONS = 20
"""Of one user on one process; of those without a socket the oldest makes room."""

TAKEN_OVER, SIGNED_OUT = 4409, 4401


class Line(Protocol):
    """Where a session's frames go: its socket, or a peer in this process."""

    def send(self, data: bytes) -> None:
        """Send a frame; it is not waited for."""

    def close(self, code: int, reason: str) -> None:
        """End it."""


@dataclass(slots=True)
class Member:
    """A session that is here.

    Attributes:
        line:    None: its socket is away since `gone_at`.
        is_open: frames go to it.
        device:  that its token is of.
    """

    session: Session = field(default_factory=Session)
    line: Line | None = None
    is_open: bool = False
    gone_at: float = 0.0
    device: str = ""

    def open(self, first: bytes) -> None:
        """Let frames go to the socket: `first`, those that wait, and all that come."""
        if self.line is not None:
            for data in (first, *self.session.waiting()):
                self.line.send(data)
            self.is_open = True

    def push(self, frame: bytes) -> None:
        """Send a frame that has no number yet, now or when there is a socket again."""
        data = self.session.number(frame)
        if self.line is not None and self.is_open:
            self.line.send(data)


class Taken(msgspec.Struct, tag="taken"):
    """A session has a socket here. Attributes: by: the process."""

    taken: str
    by: str


class SignedOut(msgspec.Struct, tag="signed-out"):
    """A device has signed out."""

    device: str


class Told(msgspec.Struct, tag="told"):
    """A frame for a user's sessions. Attributes: frame: as it is sent, but for its number."""

    frame: msgspec.Raw
    only: str | None
    but: str


Message: TypeAlias = Taken | SignedOut | Told
"""What processes tell each other."""

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class Joined(NamedTuple):
    """A session that has a socket. Attributes: resumed: it goes on where it was."""

    member: Member
    resumed: bool


class Hub:
    """The sessions of this process.

    Args:       clock: Unix seconds.
    Attributes: process: this one's name.
    """

    def __init__(self, backplane: Backplane, clock: Callable[[], float], process: str) -> None:
        self.backplane, self._clock, self.process = backplane, clock, process
        self._members: dict[str, dict[str, Member]] = defaultdict(dict)
        # Members without a socket, by user and name, in the order in which they lost it.
        self._away: dict[tuple[str, str], Member] = {}

    async def start(self) -> None:
        """Begin to hear from other processes."""
        await self.backplane.start(self._hear)

    @property
    def sockets(self) -> int:
        """How many sessions have one."""
        return sum(one.line is not None for of in self._members.values() for one in of.values())

    async def join(
        self, user: str, name: str, ack: int, line: Line, nat: str, device: str = ""
    ) -> Joined:
        """Give a session a socket; frames wait until it is opened.

        Args:   ack: the last frame that its client got.
        Raises: Refused: the user has too many.
        """
        mine = self._members[user]
        member = mine.get(name)
        if member is None and len(mine) >= MOST_SESSIONS:
            self._make_room(user)
        if member is not None and member.line is not None:
            member.line.close(TAKEN_OVER, "another socket has this session")
        resumed = member is not None and member.session.resume(ack)
        if member is None or not resumed:
            member = mine[name] = Member()
        member.line, member.is_open, member.device = line, False, device
        self._away.pop((user, name), None)
        await self.backplane.listen(user)
        await self.backplane.come(user, name, nat)
        # If another process has it (half dead, perhaps), it lets go.
        await self._publish(user, Taken(name, self.process))
        return Joined(member, resumed)

    def _make_room(self, user: str) -> None:
        """Forget somebody's session that is without a socket for longest.

        Raises: Refused: each of them has one.
        """
        mine = self._members[user]
        away = (
            name for (of, name), it in self._away.items() if of == user and mine.get(name) is it
        )
        oldest = next(away, None)
        if oldest is None:
            raise Refused("too-many", f"you have {MOST_SESSIONS} sessions already")
        del self._away[user, oldest], mine[oldest]

    async def drop(self, user: str, name: str, line: Line) -> bool:
        """Note that a socket is gone; False: it was not the session's any more."""
        member = self._members.get(user, {}).get(name)
        if member is None or member.line is not line:
            return False
        member.line = None
        self._leave(user, name, member)
        await self.backplane.leave(user, name)
        return True

    async def sign_out(self, user: str, device: str) -> None:
        """End the sockets of a device, on every process."""
        await self._publish(user, SignedOut(device))

    async def forget(self) -> None:
        """Forget sessions that have not come back in time."""
        late = self._clock() - KEPT
        for (user, name), member in list(self._away.items()):
            if member.gone_at > late:
                break  # who is behind them in this order has gone later
            del self._away[user, name]
            await self._lose(user, name, member)

    async def _lose(self, user: str, name: str, member: Member) -> None:
        mine = self._members[user]
        if mine.get(name) is member:
            del mine[name]
        if not mine:
            del self._members[user]
            await self.backplane.unlisten(user)

    def close(self, code: int, reason: str) -> None:
        """End every socket."""
        for mine in self._members.values():
            for member in mine.values():
                if member.line is not None:
                    member.line.close(code, reason)

    async def tell(
        self, user: str | None, frame: dict[str, Any], *, only: str | None = None, but: str = ""
    ) -> None:
        """Send a frame to somebody's sessions, on every process; None: to everybody's.

        Args: only: to this one alone.  but: to all except this one.
        """
        await self._publish(user, Told(msgspec.Raw(write(frame)), only, but))

    async def tell_each(self, users: Iterable[str], frame: dict[str, Any]) -> None:
        """Send the same frame to all sessions of several: it is written once."""
        message = write(Told(msgspec.Raw(write(frame)), None, ""))
        for user in users:
            await self.backplane.tell(user, message)

    async def _publish(self, user: str | None, message: Message) -> None:
        await self.backplane.tell(user, write(message))

    def _hear(self, user: str | None, data: bytes) -> None:
        message = _decoder.decode(data)
        groups = list(self._members.values()) if user is None else [self._members.get(user, {})]
        match message:
            case Taken() if user is not None:
                if message.by != self.process:
                    self._let_go(user, message.taken)
            case SignedOut():
                for member in (member for group in groups for member in group.values()):
                    if member.device == message.device and member.line is not None:
                        member.line.close(SIGNED_OUT, "signed-out")
            case Told():
                frame = bytes(message.frame)
                for name, member in [pair for group in groups for pair in group.items()]:
                    if message.only in (None, name) and name != message.but:
                        member.push(frame)

    def _let_go(self, user: str, name: str) -> None:
        member = self._members.get(user, {}).pop(name, None)
        if member is not None:
            self._leave(user, name, member)
            if member.line is not None:
                member.line.close(TAKEN_OVER, "another socket has this session")

    def _leave(self, user: str, name: str, member: Member) -> None:
        member.gone_at = self._clock()
        self._away.pop((user, name), None)
        self._away[user, name] = member
