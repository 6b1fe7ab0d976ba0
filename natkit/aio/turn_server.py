"""The TURN server at work: its machine, a data plane, sockets, streams, and one timer.

    datagrams ─▶ data plane ─▶ what is not ChannelData ─▶ machine ─▶ facts, commands ─▶ data plane
    streams ──▶ frames ─▶ ChannelData to the data plane, STUN to the machine

Rule of the file: after every call to the machine `_settle` sends what it wants sent and carries out
what it asks for, in that order (natkit.turn.server).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, assert_never

from natkit.aio import errqueue
from natkit.aio.sockaddr import Scopes
from natkit.aio.turn_door import Doorkeeper, Line
from natkit.aio.turn_dtls import DtlsCertificate, DtlsPort, is_dtls
from natkit.aio.turn_lines import Hosting, Lines
from natkit.aio.turn_peers import PeerConnections
from natkit.aio.turn_ports import PortsExhausted, RelayPorts
from natkit.aio.turn_report import Live, Report
from natkit.aio.turn_sessions import Sessions
from natkit.aio.turn_siblings import GuestLine, Siblings
from natkit.aio.turn_stream import ClientStream
from natkit.aio.turn_users import LookUp, UserLookUps
from natkit.dataplane import Counters, DataPlane
from natkit.dataplane.sockaddr import from_socket
from natkit.machine import Instant, soonest
from natkit.turn.answers import UNAUTHENTICATED
from natkit.turn.events import (
    BindConnection,
    ClosePeer,
    CloseRelay,
    ConnectPeer,
    HandOver,
    LookUpUser,
    OpenRelay,
    RequestRefused,
    SendToPeer,
    TurnEvent,
)
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    AllocationMoved,
    ChannelBound,
    ChannelLapsed,
    Path,
    PermissionGranted,
    PermissionLapsed,
    Relaying,
    Transport,
)
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import TransportAddress

NEVER: Instant = float("inf")


class Listening(NamedTuple):
    """What is spoken on a UDP listener."""

    plain: bool
    dtls: bool


class TurnService:
    """A running TURN server. Give it a data plane, add listeners, and `close` it in the end.

    Args:
        server: the machine.
        ports:  where relayed addresses come from.
        report: hears what an owner may want to know.
        look_up: knows users whom the settings do not (`Credentials.elsewhere`).

    Attributes:
        siblings: the other workers; None: there is none.
        sessions: the allocations there are.
    """

    def __init__(
        self,
        server: TurnServer,
        ports: RelayPorts,
        report: Callable[[Report], None],
        look_up: LookUp | None = None,
    ) -> None:
        self._users = None if look_up is None else UserLookUps(server, look_up, self._settle)
        self.siblings: Siblings | None = None
        self.sessions = Sessions(report, self._carried)
        self._server = server
        self._ports = ports
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._door = Doorkeeper(self._arm)
        self._lines = Lines()
        self._challenges = 0
        self._peers = PeerConnections(server, self._settle)
        self._accepting: list[asyncio.Server] = []
        self._dtls: DtlsPort | None = None
        self._listening: dict[TransportAddress, Listening] = {}
        self._relaying: dict[TransportAddress, Relaying] = {}
        self._scopes = Scopes(lambda look_up: look_up())
        self._timer: asyncio.Handle | None = None
        self._armed_for = NEVER  # uvloop's handles do not tell when
        self._settling = False
        self._closed = False

    @property
    def plane(self) -> DataPlane:
        """The data plane, whose upcalls come here; set it before anything else."""
        return self._lines.plane

    @plane.setter
    def plane(self, plane: DataPlane) -> None:
        self._lines.plane = plane

    @property
    def waiting(self) -> int:
        """How many connections and associations have no allocation yet."""
        return self._door.waiting

    def live(self) -> Live:
        """Return what there is now, and was carried up to now."""
        live = Live(
            carried=self.sessions.carried(),
            challenges=self._challenges,
            ports_used=self._ports.used,
            ports=self._ports.capacity,
            in_kernel=int(self.plane.in_kernel),
        )
        live.allocations.update(path.transport for path in self.sessions.paths())
        return live

    def join_siblings(self, sockets: Mapping[int, socket.socket]) -> None:
        """Be one of several workers: share with the others what reaches one and is another's.

        Args: sockets: links with them, by number.
        """
        hosting = Hosting(self._lines, self._peers, self, self._loop.time)
        self.siblings = Siblings(sockets, hosting)

    def listen(self, sock: socket.socket, *, dtls: DtlsCertificate | None, plain: bool) -> None:
        """Serve clients over UDP on `sock`, bound already, and over DTLS where that is given.

        Raises: ImportError: DTLS needs pyOpenSSL, which is not installed.
        """
        local = from_socket(sock.getsockname())
        if dtls is not None:
            self.use_certificate(dtls)
        self._listening[local] = Listening(plain=plain, dtls=dtls is not None)
        self.plane.add_listener(local, sock)

    def use_certificate(self, certificate: DtlsCertificate) -> None:
        """Take this certificate for DTLS from now on. Raises: ImportError: as `listen`."""
        if self._dtls is None:
            self._dtls = DtlsPort(self, self._door, self._send_datagram, self._loop.time)
        self._dtls.use(certificate)

    async def accept(self, sock: socket.socket, *, tls: ssl.SSLContext | None, plain: bool) -> None:
        """Serve clients over TCP on `sock`, bound already, and over TLS where `tls` is given."""
        server = await self._loop.create_server(
            lambda: ClientStream(self, self._door, tls=tls, plain=plain), sock=sock, backlog=512
        )
        self._accepting.append(server)

    def drain(self, alternates: Iterable[TransportAddress]) -> None:
        """Make no more allocations: send clients to an alternate, or away."""
        self._server.drain(alternates, now=self._loop.time())
        self._settle(self._loop.time())

    def reconfigure(self, settings: Settings) -> None:
        """Go on with other settings; allocations stay."""
        self._server.reconfigure(settings, now=self._loop.time())
        self._settle(self._loop.time())

    async def close(self) -> None:
        """End every allocation and connection. Closing twice is harmless."""
        if self._closed:
            return
        self._server.stop(now=self._loop.time())
        self._settle(self._loop.time())
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for server in self._accepting:
            server.close()
        self._lines.close()
        if self._dtls is not None:
            self._dtls.close()
        self._peers.close_all()
        if self.siblings is not None:
            self.siblings.close()
        if self._users is not None:
            self._users.close()
        self._door.close()
        self.plane.close()
        await asyncio.sleep(0)

    def client_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        """A client's datagram that is not ChannelData came in."""
        spoken = self._listening[server]
        if is_dtls(data):
            if spoken.dtls and self._dtls is not None:
                self._dtls.receive(data, client, server, now)
                self._arm()
        elif spoken.plain:
            self._sort(data, Path(client, server, Transport.UDP), now)

    def peer_datagram(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, now: Instant
    ) -> None:
        """A peer's datagram came for which no channel stands."""
        self._server.from_peer(relayed, data, peer, now=now)
        self._settle(now)

    def relay_error(self, relayed: TransportAddress, sock: socket.socket, now: Instant) -> None:
        """An ICMP error may wait on a relayed address's socket."""
        for error in errqueue.drain(sock, self._scopes):
            self._server.peer_error(relayed, error, now=now)
        self._settle(now)

    def stream_ready(self, stream: Line) -> Callable[[bytes, Instant], None]:
        """A client has said its first over a stream."""
        assert stream.path is not None  # noqa: S101 - that is what being ready means
        # A client may connect from the port of a connection whose end is not yet heard of.
        before = self._lines.at(stream.path)
        if before is not None:
            self.stream_closed(before)
        return self._lines.add(stream.path, stream)

    def stream_message(self, data: bytes, stream: Line, now: Instant) -> None:
        """A STUN message came in over a stream."""
        if stream.path is not None:
            self._sort(data, stream.path, now)

    def _sort(self, data: bytes, path: Path, now: Instant) -> None:
        """Take a STUN message that came to this worker, whosever it is."""
        if self.siblings is None or not self.siblings.passes_on(path, data):
            self.receive(data, path, now)

    def receive(self, data: bytes, path: Path, now: Instant) -> None:
        """Take a STUN message that is for this worker."""
        self._server.receive(data, path, now=now)
        self._settle(now)

    def stream_closed(self, stream: Line) -> None:
        """A client's connection is gone."""
        if stream.path is None or not self._lines.remove(stream.path, stream):
            return
        now = self._loop.time()
        if self.siblings is not None:
            self.siblings.stream_closed(stream.path)
        self._peers.joined_stream_closed(stream)
        self._server.path_closed(stream.path, now=now)
        self._settle(now)
        self._lines.forget(stream.path)

    def _settle(self, now: Instant) -> None:
        """Send and do until the machine has nothing left to say."""
        if self._settling or self._closed:
            return
        self._settling = True
        try:
            while True:
                events = self._server.events()
                self._end_in_plane(events)
                for path, data in self._server.transmits():
                    self._lines.send(path, data)
                if not events:
                    break
                for event in events:
                    self._carry_out(event, now)
        finally:
            self._settling = False
            self._arm()

    def _end_in_plane(self, events: Iterable[TurnEvent]) -> None:
        """Let nothing more pass what has ended, before its client is told: the kernel goes on
        forwarding while this process works.
        """
        for event in events:
            if isinstance(event, AllocationClosed):
                self.plane.apply(event)

    def _send_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress
    ) -> None:
        self.plane.to_client(Path(client, server, Transport.UDP), data)

    def _carry_out(self, event: TurnEvent, now: Instant) -> None:
        # The most frequent ones first: every one before costs the others some time.
        match event:
            case PermissionGranted() | ChannelBound():
                self._lines.plane.apply(event)
            case SendToPeer(relayed, peer, data, dont_fragment):
                self.plane.to_peer(relayed, peer, data, dont_fragment=dont_fragment, now=now)
            case RequestRefused(code=code):
                self._challenges += code == UNAUTHENTICATED
                self._report(event)
            case OpenRelay():
                self._open_relay(event, now)
            case AllocationMade() | AllocationMoved() | AllocationClosed():
                self._take(event, now)
            case CloseRelay(relayed=relayed):
                self._close_relay(relayed)
            case ConnectPeer(connection, relayed, peer):
                self._peers.connect(connection, relayed, peer)
            case BindConnection(path, connection):
                self._join(path, connection)
            case ClosePeer(connection):
                self._peers.close(connection)
            case LookUpUser():
                if self._users is not None:
                    self._users.ask(event)
            case HandOver():
                self._hand_over(event)
            case PermissionLapsed() | ChannelLapsed():
                self.plane.apply(event)
            case _:
                assert_never(event)

    def _join(self, path: Path, connection: int) -> None:
        line = self._lines.at(path)
        if isinstance(line, ClientStream):
            self._peers.join(connection, line)
        elif isinstance(line, GuestLine):
            self._peers.give(connection, line)

    def _hand_over(self, command: HandOver) -> None:
        if self.siblings is None:
            return
        stream = self._lines.stream_at(command.path)
        if stream is not None:
            stream.hold()
        self.siblings.hand_over(command)

    def _take(
        self, fact: AllocationMade | AllocationMoved | AllocationClosed, now: Instant
    ) -> None:
        """Keep account of an allocation, and pass on to the plane what it has yet to hear."""
        if not isinstance(fact, AllocationClosed):
            self.plane.apply(fact)
        match fact:
            case AllocationClosed(path=path):
                if self.sessions.end(fact, now):
                    self._lines.wait_again(path)
            case AllocationMade(path=path):
                self.sessions.begin(fact, now)
                self._lines.admit(path)
            case AllocationMoved(old=old, path=path):
                self._lines.admit(path)
                if self.sessions.move(fact):
                    self._lines.wait_again(old)

    def _carried(self, relayed: TransportAddress) -> Counters:
        return self.plane.counters(relayed)

    def _open_relay(self, asked: OpenRelay, now: Instant) -> None:
        try:
            opened = self._ports.open(
                asked.family, asked.relaying, even=asked.even, reserve=asked.reserve
            )
        except PortsExhausted as error:
            self._server.relay_failed(asked.ticket, str(error), now=now)
            return
        for one in opened:
            self._relaying[one.relayed] = asked.relaying
            if asked.relaying is Relaying.TCP:
                self._peers.listen(one, self.plane.measure(one.relayed))
            else:
                self.plane.add_relay(one.relayed, one.sock)
        self._server.relay_opened(asked.ticket, opened[0].relayed, now=now)

    def _close_relay(self, relayed: TransportAddress) -> None:
        relaying = self._relaying.pop(relayed, None)
        if relaying is None:
            return
        if relaying is Relaying.TCP:
            self._peers.stop_listening(relayed)
        self.plane.remove_relay(relayed)
        self._ports.release(relayed)

    def _arm(self) -> None:
        """Make sure that `_tick` comes in time; a tick too early is harmless."""
        deadline = self._server.deadline()
        if self._door.waiting or self._dtls is not None:
            theirs = None if self._dtls is None else self._dtls.deadline()
            deadline = soonest((deadline, self._door.deadline(), theirs))
        if deadline is None or deadline >= self._armed_for or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._armed_for = NEVER
        now = self._loop.time()
        try:
            self._door.sweep(now)
            if self._dtls is not None:
                self._dtls.tick(now)
            self._server.tick(now=now)
        finally:
            self._settle(now)
