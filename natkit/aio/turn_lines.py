"""Where a TURN server's clients are: streams and associations here, lines of other workers, and
datagrams of everybody else.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from natkit.aio.turn_door import Line
from natkit.aio.turn_peers import PeerConnections, Visitor
from natkit.aio.turn_siblings import FIRST_OF_CHANNEL_DATA, GuestLine, Joined
from natkit.aio.turn_stream import ClientStream
from natkit.dataplane import Counters, DataPlane
from natkit.machine import Instant
from natkit.turn.forwarding import Path


class Lines:
    """The lines by path. What has none is a client over UDP.

    Attributes: plane: set before anything is sent.
    """

    plane: DataPlane

    def __init__(self) -> None:
        self._lines: dict[Path, Line] = {}

    def add(self, path: Path, line: Line) -> Callable[[bytes, Instant], None]:
        """Take in a line; returns what takes its ChannelData."""
        self._lines[path] = line
        return self.plane.add_stream(path, line.send_media)

    def remove(self, path: Path, line: Line) -> bool:
        """Take that a line is gone; false: it was gone before, and another one may be there. The
        plane keeps it until `forget`: what ends with the line has to find it.
        """
        if self._lines.get(path) is not line:
            return False
        del self._lines[path]
        return True

    def forget(self, path: Path) -> None:
        """Let the plane forget a line that was removed."""
        self.plane.remove_stream(path)

    def at(self, path: Path) -> Line | None:
        """Return the line of a path; None: it has none."""
        return self._lines.get(path)

    def stream_at(self, path: Path) -> ClientStream | None:
        """Return the TCP or TLS connection of a path that is here."""
        line = self._lines.get(path)
        return line if isinstance(line, ClientStream) else None

    def send(self, path: Path, data: bytes) -> None:
        """Send a STUN message."""
        line = self._lines.get(path)
        if line is not None:
            line.send(data)
        else:
            self.plane.to_client(path, data)

    def admit(self, path: Path) -> None:
        """Its client has an allocation: it may stay."""
        if (line := self._lines.get(path)) is not None:
            line.admit()

    def wait_again(self, path: Path) -> None:
        """Its client has no allocation any more."""
        if (line := self._lines.get(path)) is not None:
            line.wait_again()

    def close(self) -> None:
        """Close every line."""
        for line in list(self._lines.values()):
            line.close()


class Receiver(Protocol):
    """What the guests' messages go to."""

    def receive(self, data: bytes, path: Path, now: Instant) -> None:
        """Take a STUN message that is for this worker."""

    def stream_closed(self, stream: Line) -> None:
        """A line is gone."""


class Hosting:
    """A worker's part in what is handed over between siblings: see `Host`.

    Args:
        lines:  those of this worker.
        peers:  its TCP connections with peers.
        worker: takes what guests say.
        now:    returns the time.
    """

    def __init__(
        self, lines: Lines, peers: PeerConnections, worker: Receiver, now: Callable[[], Instant]
    ) -> None:
        self._lines = lines
        self._peers = peers
        self._worker = worker
        self._now = now
        self._forwards: dict[Path, Callable[[bytes, Instant], None]] = {}

    def handed(self, line: GuestLine, data: bytes) -> None:
        """Take what came along a path whose socket or stream another worker has."""
        path, now = line.place, self._now()
        if path not in self._forwards:
            self._forwards[path] = self._lines.add(path, line)
        if data[0] < FIRST_OF_CHANNEL_DATA:
            self._worker.receive(data, path, now)
        else:
            self._forwards[path](data, now)
        if not line.adopted:
            self.guest_released(line)

    def guest_released(self, line: GuestLine) -> None:
        """Take that a guest has no allocation here."""
        if self._forwards.pop(line.place, None) is not None:
            self._lines.remove(line.place, line)
            self._lines.forget(line.place)

    def guest_gone(self, line: GuestLine) -> None:
        """Take that a guest's connection is closed, or the worker that had it is gone."""
        self._forwards.pop(line.place, None)
        self._worker.stream_closed(line)

    def lend(self, path: Path, take: Callable[[bytes], None]) -> None:
        """Take that another worker has the allocation of a path."""
        self._lines.admit(path)
        self._lines.plane.divert(path, take)

    def take_back(self, path: Path) -> None:
        """Take that it has none any more."""
        self._lines.plane.divert(path, None)
        self._lines.wait_again(path)

    def say(self, path: Path, data: bytes, *, media: bool) -> None:
        """Send to a client what another worker says."""
        line = self._lines.at(path)
        if media and line is not None:
            line.send_media(data)
            return
        self._lines.send(path, data)
        if isinstance(line, ClientStream):
            line.go_on()

    def hang_up(self, path: Path) -> None:
        """Close a client's connection for another worker."""
        if (line := self._lines.at(path)) is not None:
            line.close()

    def join(self, joined: Joined, sock: socket.socket, moved: Callable[[Counters], None]) -> None:
        """Join a client's stream with a peer's connection that another worker gives."""
        stream = self._lines.stream_at(joined.path)
        if stream is None:
            sock.close()
            return
        stream.send(joined.answer)
        plane = self._lines.plane
        meter = plane.visiting(joined.relayed, joined.user)
        visitor = Visitor(joined.connection, joined.early, meter, moved, plane.release)
        self._peers.take_over(visitor, sock, stream)

    def account(self, connection: int, carried: Counters) -> None:
        """Count what a connection that was given away has carried."""
        self._peers.account(connection, carried)
