"""Several workers, one TURN server: what reaches one of them and belongs to another.

The kernel spreads clients over the workers by their addresses. A mobility ticket, a reservation
token or a connection id can bring a client to a worker that is not its own:

    client ─▶ host: HandOver ──Handed──▶ owner's machine ──Adopted, Said──▶ host ─▶ client

The host keeps the client's socket or stream, and passes on all that comes along its path until the
owner lets go of it. To the owner the path is a line like any other (GuestLine). Only a connection
with a TCP peer goes the other way: its descriptor is given to the host, who joins both ends.

Rule of the file: nothing is kept of whom the owner has not adopted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from natkit.aio.turn_link import Link
from natkit.dataplane import Counters
from natkit.turn.events import HandOver
from natkit.turn.forwarding import Path
from natkit.wire import TransportAddress

FIRST_OF_CHANNEL_DATA = 0x40
"""First byte of ChannelData, or more (RFC 8656 §12.4); of STUN it is less than 4."""


BOUND = 4 << 20
"""Bytes that may wait for a sibling: clients write some of them, and one that hangs reads none."""


@dataclass(frozen=True, slots=True)
class Hello:
    """From a worker that has begun: what there was with the one before it is over."""


@dataclass(frozen=True, slots=True)
class Handed:
    """To the owner: a STUN message or ChannelData of a client's."""

    path: Path
    data: bytes


@dataclass(frozen=True, slots=True)
class LineClosed:
    """To the owner: the client's connection is gone."""

    path: Path


@dataclass(frozen=True, slots=True)
class Adopted:
    """To the host: all that comes along the path is for the sender."""

    path: Path


@dataclass(frozen=True, slots=True)
class Released:
    """To the host: no longer."""

    path: Path


@dataclass(frozen=True, slots=True)
class Said:
    """To the host: for the client. Media may be dropped."""

    path: Path
    data: bytes
    media: bool = False


@dataclass(frozen=True, slots=True)
class CloseLine:
    """To the host: close the client's connection."""

    path: Path


@dataclass(frozen=True, slots=True)
class Joined:
    """To the host, with the descriptor of a peer's connection: join it with the client's stream.

    Attributes:
        answer: for the client, before anything of the peer's.
        early:  what the peer has sent already.
        relayed: where it comes from.
        user:   who pays for what it carries.
    """

    path: Path
    connection: int
    answer: bytes
    early: bytes
    relayed: TransportAddress
    user: str


@dataclass(frozen=True, slots=True)
class Moved:
    """To the owner: what a connection that it gave has carried since it said so last."""

    connection: int
    carried: Counters


SiblingMessage: TypeAlias = (
    Hello | Handed | LineClosed | Adopted | Released | Said | CloseLine | Joined | Moved
)


class Host(Protocol):
    """What a worker's service does for its siblings."""

    def handed(self, line: GuestLine, data: bytes) -> None:
        """Take what came along the path of `line`."""

    def guest_released(self, line: GuestLine) -> None:
        """The line has no allocation here any more: forget it."""

    def guest_gone(self, line: GuestLine) -> None:
        """The connection of an adopted line is closed, or its worker is."""

    def lend(self, path: Path, take: Callable[[bytes], None]) -> None:
        """The path has an allocation elsewhere: hand its ChannelData to `take`."""

    def take_back(self, path: Path) -> None:
        """The path has no allocation any more."""

    def say(self, path: Path, data: bytes, *, media: bool) -> None:
        """Send to a client."""

    def hang_up(self, path: Path) -> None:
        """Close a client's connection."""

    def join(self, joined: Joined, sock: socket.socket, moved: Callable[[Counters], None]) -> None:
        """Join a client's stream with a peer's connection; `moved` hears what it carries."""

    def account(self, connection: int, carried: Counters) -> None:
        """Count what a connection that was given away has carried."""


class GuestLine:
    """A client whose socket or stream another worker has, as a line of this one's.

    What is said before the line is adopted waits, so that the host knows whose the path is before
    the client has its answer.

    Attributes:
        adopted: it has an allocation here, or is joined to a peer.
        place:   its path; as a line's, `path` could be None.
    """

    def __init__(self, path: Path, link: Link, released: Callable[[GuestLine], None]) -> None:
        self.path: Path | None = path
        self.remote: TransportAddress = path.client
        self.adopted = False
        self.place = path
        self._link = link
        self._released = released
        self._unsaid: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send a STUN message."""
        self._unsaid.append(data)
        if self.adopted:
            self.flush()

    def send_media(self, frame: bytes) -> bool:
        """Send a relayed packet; False: it was dropped."""
        return self._link.send_media(Said(self.place, frame, media=True))

    def admit(self) -> None:
        """It is this worker's from now on."""
        if not self.adopted:
            self.adopted = True
            self._link.send(Adopted(self.place))
        self.flush()

    def join_peer(
        self,
        connection: int,
        descriptor: int,
        early: bytes,
        *,
        relayed: TransportAddress,
        user: str,
    ) -> None:
        """Give a peer's connection to where the client's is."""
        answer, self._unsaid = b"".join(self._unsaid), []
        self.admit()
        joined = Joined(self.place, connection, answer, early, relayed, user)
        if not self._link.send(joined, [descriptor]):
            self.close()

    def flush(self) -> None:
        """Say what waits."""
        unsaid, self._unsaid = self._unsaid, []
        for data in unsaid:
            self._link.send(Said(self.place, data))

    def wait_again(self) -> None:
        """Its allocation has ended."""
        self.flush()
        self.adopted = False
        self._link.send(Released(self.place))
        self._released(self)

    def close(self) -> None:
        """End the client's connection."""
        self.flush()
        self._link.send(CloseLine(self.place))

    def abort(self) -> None:
        """End it."""
        self.close()


class Siblings:
    """One worker's links with the others.

    Args:
        sockets: of the other workers, by number.
        host:    this worker's service.
    """

    def __init__(self, sockets: Mapping[int, socket.socket], host: Host) -> None:
        self._host = host
        self._away: dict[Path, int] = {}
        self._guests: dict[Path, tuple[int, GuestLine]] = {}
        self._links = {worker: self._link(worker, sock) for worker, sock in sockets.items()}
        for link in self._links.values():
            link.send(Hello())

    def hand_over(self, command: HandOver) -> None:
        """Give a request to the worker that it is for."""
        self._pass(command.worker, command.path, command.data)

    def passes_on(self, path: Path, data: bytes) -> bool:
        """Pass on what came along a path that is another's; False: it is none."""
        worker = self._away.get(path)
        if worker is None:
            return False
        self._pass(worker, path, data)
        return True

    def stream_closed(self, path: Path) -> None:
        """Take that a client's connection here is gone."""
        worker = self._away.pop(path, None)
        if worker is not None:
            self._links[worker].send(LineClosed(path))

    def close(self) -> None:
        """Close all links."""
        for link in self._links.values():
            link.close()

    def _link(self, worker: int, sock: socket.socket) -> Link:
        return Link(sock, lambda message, fds: self._heard(worker, message, fds), bound=BOUND)

    def _heard(self, worker: int, message: SiblingMessage, descriptors: list[int]) -> None:
        host = self._host
        match message:
            case Hello():
                self._forget(worker)
            case Handed(path, data):
                self._serve(worker, path, data)
            case LineClosed(path):
                self._lose(path)
            case Adopted(path):
                self._away[path] = worker
                host.lend(path, lambda frame: self._pass(worker, path, frame))
            case Released(path):
                if self._away.pop(path, None) is not None:
                    host.take_back(path)
            case Said(path, data, media):
                host.say(path, data, media=media)
            case CloseLine(path):
                host.hang_up(path)
            case Joined() if not descriptors:  # this process has no more of them
                host.hang_up(message.path)
            case Joined(connection=number):
                link = self._links[worker]
                sock = socket.socket(fileno=descriptors.pop())
                host.join(message, sock, lambda carried: _tell(link, Moved(number, carried)))
            case Moved(connection, carried):
                host.account(connection, carried)
            case _:
                assert_never(message)

    def _pass(self, worker: int, path: Path, data: bytes) -> None:
        """Hand something over. Who speaks UDP asks again; on a stream nothing may get lost."""
        handed, link = Handed(path, data), self._links[worker]
        if path.transport.is_stream and data[0] < FIRST_OF_CHANNEL_DATA:
            link.send(handed)
        else:
            link.send_media(handed)

    def _serve(self, worker: int, path: Path, data: bytes) -> None:
        _, line = self._guests.get(path, (worker, None))
        if line is None:
            line = GuestLine(path, self._links[worker], self._released)
        self._host.handed(line, data)
        if line.adopted:
            self._guests[path] = worker, line
        line.flush()

    def _released(self, line: GuestLine) -> None:
        self._guests.pop(line.place, None)
        self._host.guest_released(line)

    def _lose(self, path: Path) -> None:
        _, line = self._guests.pop(path, (0, None))
        if line is not None:
            self._host.guest_gone(line)

    def _forget(self, worker: int) -> None:
        """Take that a worker has begun anew: its clients are gone, and what it had of ours."""
        for path in [path for path, (host, _) in self._guests.items() if host == worker]:
            self._lose(path)
        for path in [path for path, owner in self._away.items() if owner == worker]:
            del self._away[path]
            self._host.take_back(path)
            self._host.hang_up(path)


def _tell(link: Link, message: SiblingMessage) -> None:
    link.send(message)
