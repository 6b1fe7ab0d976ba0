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
from collections.abc import Callable
from typing import NamedTuple

from natkit.aio import errqueue
from natkit.aio.sockaddr import Scopes
from natkit.aio.turn_door import Doorkeeper, Line
from natkit.aio.turn_dtls import DtlsCertificate, DtlsPort, is_dtls
from natkit.aio.turn_peers import PeerConnections
from natkit.aio.turn_ports import PortsExhausted, RelayPorts
from natkit.aio.turn_report import Report, Session, SessionEnded
from natkit.aio.turn_stream import ClientStream
from natkit.aio.turn_users import LookUp, UserLookUps
from natkit.dataplane import Counters, DataPlane
from natkit.dataplane.sockaddr import from_socket
from natkit.machine import Instant, soonest
from natkit.turn.events import (
    BindConnection,
    ClosePeer,
    CloseRelay,
    ConnectPeer,
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
    Fact,
    Path,
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
        plane:    the data plane; its upcalls come here.
        sessions: the allocations there are.
        idle:     set while there are none.
        carried:  what allocations that have ended carried.
    """

    plane: DataPlane

    def __init__(
        self,
        server: TurnServer,
        ports: RelayPorts,
        report: Callable[[Report], None],
        look_up: LookUp | None = None,
    ) -> None:
        self._users = None if look_up is None else UserLookUps(server, look_up, self._settle)
        self.sessions: dict[TransportAddress, Session] = {}
        self.idle = asyncio.Event()
        self.idle.set()
        self.carried = Counters()
        self._server = server
        self._ports = ports
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._door = Doorkeeper(self._arm)
        self._streams: dict[Path, Line] = {}
        self._peers = PeerConnections(server, self._settle)
        self._accepting: list[asyncio.Server] = []
        self._dtls: DtlsPort | None = None
        self._listening: dict[TransportAddress, Listening] = {}
        self._relaying: dict[TransportAddress, Relaying] = {}
        self._scopes = Scopes(lambda look_up: look_up())
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = NEVER
        self._settling = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many connections and associations have no allocation yet."""
        return self._door.waiting

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

    def drain(self, alternate: TransportAddress | None) -> None:
        """Make no more allocations: send clients to `alternate`, or away."""
        self._server.drain(alternate, now=self._loop.time())
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
        for stream in list(self._streams.values()):
            stream.close()
        if self._dtls is not None:
            self._dtls.close()
        self._peers.close_all()
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
            self._server.receive(data, Path(client, server, Transport.UDP), now=now)
            self._settle(now)

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
        self._streams[stream.path] = stream
        return self.plane.add_stream(stream.path, stream.send_media)

    def stream_message(self, data: bytes, stream: Line, now: Instant) -> None:
        """A STUN message came in over a stream."""
        if stream.path is not None:
            self._server.receive(data, stream.path, now=now)
            self._settle(now)

    def stream_closed(self, stream: Line) -> None:
        """A client's connection is gone."""
        if stream.path is None or self._streams.pop(stream.path, None) is None:
            return
        now = self._loop.time()
        self._peers.joined_stream_closed(stream)
        self._server.path_closed(stream.path, now=now)
        self._settle(now)
        self.plane.remove_stream(stream.path)

    def _settle(self, now: Instant) -> None:
        """Send and do until the machine has nothing left to say."""
        if self._settling or self._closed:
            return
        self._settling = True
        try:
            while True:
                for path, data in self._server.transmits():
                    self._send(path, data)
                events = self._server.events()
                if not events:
                    break
                for event in events:
                    self._carry_out(event, now)
        finally:
            self._settling = False
        self._arm()

    def _send(self, path: Path, data: bytes) -> None:
        stream = self._streams.get(path)
        if stream is not None:
            stream.send(data)
        else:
            self.plane.to_client(path, data)

    def _send_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress
    ) -> None:
        self.plane.to_client(Path(client, server, Transport.UDP), data)

    def _carry_out(self, event: TurnEvent, now: Instant) -> None:
        match event:
            case OpenRelay():
                self._open_relay(event, now)
            case CloseRelay(relayed=relayed):
                self._close_relay(relayed)
            case SendToPeer(relayed, peer, data, dont_fragment):
                self.plane.to_peer(relayed, peer, data, dont_fragment=dont_fragment, now=now)
            case ConnectPeer(connection, relayed, peer):
                self._peers.connect(connection, relayed, peer)
            case BindConnection(path, connection):
                stream = self._streams.get(path)
                if isinstance(stream, ClientStream):
                    self._peers.join(connection, stream)
            case ClosePeer(connection):
                self._peers.close(connection)
            case LookUpUser():
                if self._users is not None:
                    self._users.ask(event)
            case RequestRefused():
                self._report(event)
            case _:
                self._take(event, now)

    def _take(self, fact: Fact, now: Instant) -> None:
        """Pass a fact on to the plane, and keep account of allocations."""
        if isinstance(fact, AllocationClosed):
            self._account(fact, now)
        self.plane.apply(fact)
        match fact:
            case AllocationMade(path=path, relayed=relayed, user=user):
                session = self.sessions[relayed] = Session(path, relayed, user, now)
                self.idle.clear()
                self._admit(path)
                self._report(session)
            case AllocationMoved(relayed=relayed, path=path) if relayed in self.sessions:
                self.sessions[relayed].path = path
                self._admit(path)
            case _:
                pass

    def _admit(self, path: Path) -> None:
        if (stream := self._streams.get(path)) is not None:
            stream.admit()

    def _account(self, closed: AllocationClosed, now: Instant) -> None:
        session = self.sessions.pop(closed.relayed, None)
        if not self.sessions:
            self.idle.set()
        if session is not None:
            carried = self.plane.counters(closed.relayed)
            self.carried.add(carried)
            self._report(SessionEnded(session, closed.reason, carried, now - session.began))
        if (stream := self._streams.get(closed.path)) is not None:
            stream.wait_again()

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
                self._peers.listen(one.relayed, one.local, one.sock)
            else:
                self.plane.add_relay(one.relayed, one.sock)
        self._server.relay_opened(asked.ticket, opened[0].relayed, now=now)

    def _close_relay(self, relayed: TransportAddress) -> None:
        relaying = self._relaying.pop(relayed, None)
        if relaying is None:
            return
        if relaying is Relaying.TCP:
            self._peers.stop_listening(relayed)
        else:
            self.plane.remove_relay(relayed)
        self._ports.release(relayed, relaying)

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
        self._door.sweep(now)
        if self._dtls is not None:
            self._dtls.tick(now)
        self._server.tick(now=now)
        self._settle(now)
