"""`natkit.Connection`: ICE for one data stream, with the interface of aioice's `Connection`.

Changing `import aioice` is enough. What aioice does not have is given by keyword only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from natkit.aio.ice import Event, IceTransport
from natkit.aio.ice_gather import GatherPlan, gather
from natkit.aio.ice_servers import ServerName, TurnServer, stun_uri
from natkit.aio.mdns import Mdns
from natkit.aio.network import SocketNetwork
from natkit.errors import NatkitError, UsageError
from natkit.ice.agent import IceAgent
from natkit.ice.candidate import Candidate, CandidateType, Origin, TcpType
from natkit.ice.credentials import Credentials
from natkit.ice.events import State, StateChanged
from natkit.ice.gather import CandidateFound, GatheringEnded
from natkit.ice.report import Json, report
from natkit.ice.settings import DEFAULTS, Settings
from natkit.machine import Seconds
from natkit.network import Family, Network
from natkit.wire import TransportAddress

_KNOWN_TYPES = frozenset(
    {CandidateType.HOST, CandidateType.SERVER_REFLEXIVE, CandidateType.RELAYED}
)

LARGEST_DATAGRAM = 65507
"""Bytes in 65,535, after the headers of IPv4 and UDP."""

_SETTLED = frozenset({State.CONNECTED, State.COMPLETED, State.FAILED})
"""States that end the wait of `connect`."""


class TransportPolicy(Enum):
    """Which candidates are used."""

    ALL = 0
    """Every kind."""
    RELAY = 1
    """Those on TURN servers alone: the peer never learns where we are."""
    NO_RELAY = 2
    """All but those on TURN servers, which are not even asked."""


class ConnectionEvent:
    """What `Connection.get_event` returns."""


class ConnectionClosed(ConnectionEvent):
    """The connection was closed, or the peer no longer consents to be sent to."""


@dataclass(frozen=True, slots=True)
class SelectedPair:
    """The path that data takes.

    Attributes:
        local, remote: the candidates at its ends, ours as the peer sees it.
        origin:        how ours was found: on which interface, and who told it.
        is_relayed:    data goes over a relay, ours or the peer's.
        nominated:     it stays; else a better one may replace it.
        round_trip:    seconds, of the latest check; None: not known.
    """

    local: Candidate
    remote: Candidate
    origin: Origin
    is_relayed: bool
    nominated: bool
    round_trip: Seconds | None


class Connection:
    """An ICE connection for one data stream.

    Args:
        ice_controlling: whether this side decides which path is taken.
        components:      how many.
        stun_server:     host and port of a STUN server, or None.
        turn_server, turn_username, turn_password: host and port of a TURN server, and its account.
        turn_ssl:        go to the TURN server over TLS.
        turn_transport:  "udp" or "tcp", to the TURN server.
        use_ipv4, use_ipv6: which host candidates to gather.
        transport_policy: see `TransportPolicy`.
        local_username, local_password: None: random ones.
        stun_servers, turn_servers: more of them; all are asked at once.
        on_candidate:    called with every candidate as it is found, and with None after the last.
        on_state:        called with the state whenever it changes.
        interfaces:      names of the interfaces to gather on; None: all but loopback.
        hide_addresses:  tell the peer mDNS names in place of host addresses, as browsers do.
        tcp:             which candidates over TCP to offer (RFC 6544): "active" connects to those
                         of the peer, "passive" and "so" listen.
        port_mapping:    ask the gateway for an outside port (PCP, NAT-PMP, UPnP), which is open to
                         everybody until the connection is closed.
        lite:            only answer the peer's checks.
        settings:        times that are waited for.
        randomness:      returns that many unpredictable bytes.
        network:         where to open sockets; None: this machine.
    Raises: ValueError: a name or password that ICE does not allow, or an unknown transport.
    """

    def __init__(
        self,
        ice_controlling: bool,
        components: int = 1,
        stun_server: tuple[str, int] | None = None,
        turn_server: tuple[str, int] | None = None,
        turn_username: str | None = None,
        turn_password: str | None = None,
        turn_ssl: bool = False,
        turn_transport: str = "udp",
        use_ipv4: bool = True,
        use_ipv6: bool = True,
        transport_policy: TransportPolicy = TransportPolicy.ALL,
        local_username: str | None = None,
        local_password: str | None = None,
        *,
        stun_servers: Sequence[ServerName] = (),
        turn_servers: Sequence[TurnServer] = (),
        on_candidate: Callable[[Candidate | None], None] | None = None,
        on_state: Callable[[State], None] | None = None,
        interfaces: Sequence[str] | None = None,
        hide_addresses: bool = False,
        tcp: Collection[TcpType | str] = (),
        port_mapping: bool = False,
        lite: bool = False,
        settings: Settings = DEFAULTS,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        network: Network | None = None,
    ) -> None:
        self.remote_is_lite = False
        self.remote_username: str | None = None
        self.remote_password: str | None = None
        self.stun_server, self.turn_server = stun_server, turn_server
        self.turn_username, self.turn_password = turn_username, turn_password
        self.turn_ssl, self.turn_transport = turn_ssl, turn_transport
        self.stun_servers, self.turn_servers = tuple(stun_servers), tuple(turn_servers)
        # By name, so that aioice's own enumeration, where it is still imported, means the same.
        self.transport_policy = TransportPolicy[transport_policy.name]
        self.on_candidate, self.on_state = on_candidate, on_state
        self._asked_for = GatherPlan(
            components=tuple(range(1, components + 1)),
            families=tuple(
                family for family in Family if (use_ipv4 if family is Family.IPV4 else use_ipv6)
            ),
            wanted=None if interfaces is None else frozenset(interfaces).__contains__,
            tcp=tuple(TcpType(kind) for kind in tcp),
            mapping=port_mapping,
        )
        self._network = network or SocketNetwork()
        self._agent = IceAgent(
            controlling=ice_controlling,
            randomness=randomness,
            components=components,
            credentials=_chosen(local_username, local_password, randomness),
            lite=lite,
            settings=settings,
        )
        self._transport: IceTransport | None = None
        self._gathering: asyncio.Task[None] | None = None
        self._local: list[Candidate] = []
        self._hide_addresses = hide_addresses
        self._names: Mdns | None = None
        self._unresolved: list[Candidate] = []
        self._resolving = 0
        self._remote_end = self._closed = False
        self._received: deque[tuple[bytes, int]] = deque()
        self._changed, self._arrived = asyncio.Event(), asyncio.Event()

    # What both sides tell each other.

    @property
    def ice_controlling(self) -> bool:
        """Whether this side decides which path is taken; a role conflict may change it."""
        return self._agent.role.controlling

    @ice_controlling.setter
    def ice_controlling(self, controlling: bool) -> None:
        self._agent.role.controlling = controlling

    @property
    def local_candidates(self) -> list[Candidate]:
        """The candidates found so far, to be told to the peer."""
        return self._local[:]

    @property
    def local_username(self) -> str:
        """The user fragment to be told to the peer."""
        return self._agent.session.own.ufrag

    @property
    def local_password(self) -> str:
        """The password to be told to the peer."""
        return self._agent.session.own.password

    @property
    def remote_candidates(self) -> list[Candidate]:
        """The peer's candidates: those added, and those that its checks have brought up."""
        known = [remote.candidate for remote in self._agent.session.candidates.remote]
        return [*known, *self._unresolved]

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Add a candidate of the peer's; None: there will be no more.

        An mDNS name is looked up, which takes up to 2 s. What cannot be used is left out: other
        names, unknown types.

        Raises: ValueError: the end was told before.
        """
        if self._remote_end:
            raise ValueError("Cannot add remote candidate after end-of-candidates.")
        if self._closed:
            return
        if remote_candidate is None:
            self._remote_end = True
        elif remote_candidate.type not in _KNOWN_TYPES:
            return
        elif remote_candidate.address is not None:
            self._agent.add_remote(remote_candidate, now=self._network.now())
        elif remote_candidate.is_name and self.transport_policy is not TransportPolicy.RELAY:
            await self._look_up(remote_candidate)
        if self._remote_end and not self._resolving and not self._closed:
            self._agent.end_of_remote(now=self._network.now())
        self._kick()

    async def _look_up(self, candidate: Candidate) -> None:
        session = self._agent.session
        self._resolving += 1
        try:
            names = await self._mdns()
            ip = None if names is None else await names.resolve(candidate.host)
        finally:
            self._resolving -= 1
        if self._closed or session is not self._agent.session:
            return
        if ip is None:
            self._unresolved.append(candidate)
        else:
            where = TransportAddress(ip, candidate.port)
            self._agent.add_remote(candidate, where, now=self._network.now())

    async def gather_candidates(self) -> None:
        """Gather local candidates; `on_candidate` hears of each at once."""
        if self._gathering is None and not self._closed:
            self._gathering = asyncio.ensure_future(self._gather())
        if self._gathering is not None:
            await asyncio.shield(self._gathering)

    def get_default_candidate(self, component: int) -> Candidate | None:
        """Return the candidate that most probably works without ICE; None: there is none."""
        ours = [c for c in self._local if c.component == component and not c.is_tcp]
        return min(ours, key=lambda candidate: candidate.priority, default=None)

    # The connection.

    async def connect(self) -> None:
        """Find a path; return as soon as data can be sent and the peer has started, too.

        Raises: ConnectionError: no path was found, or something is missing.
        """
        if self._gathering is None:
            raise ConnectionError("Local candidates gathering was not performed")
        if self.remote_username is None or self.remote_password is None:
            raise ConnectionError("Remote username or password is missing")
        now = self._network.now()
        peer = Credentials(self.remote_username, self.remote_password)
        self._agent.set_remote(peer, lite=self.remote_is_lite, now=now)
        self._agent.start(now=now)
        self._kick()
        while not self._closed and self._agent.state not in _SETTLED:
            await _next(self._changed)
        if self._closed or self._agent.state is State.FAILED:
            raise ConnectionError("ICE negotiation failed")

    async def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._transport is not None:
            await self._transport.close()
        if self._names is not None:
            self._names.close()
        self._local.clear()
        self._wake()

    async def get_event(self) -> ConnectionEvent | None:
        """Return the next event; None: the connection is closed already."""
        if self._is_lost:
            return None
        while not self._is_lost:
            await _next(self._changed)
        return ConnectionClosed()

    async def recv(self) -> bytes:
        """Return the next datagram. Raises: ConnectionError: there is no connection."""
        data, _ = await self.recvfrom()
        return data

    async def recvfrom(self) -> tuple[bytes, int]:
        """Return the next datagram and its component. Raises: as `recv`."""
        if not self._received and (self._is_lost or self._agent.path_of_any() is None):
            raise ConnectionError("Cannot receive data, not connected")
        while not self._received:
            if self._is_lost:
                raise ConnectionError("Connection lost while receiving data")
            await _next(self._arrived)
        return self._received.popleft()

    async def send(self, data: bytes) -> None:
        """Send a datagram on the first component. Raises: ConnectionError: there is no path."""
        await self.sendto(data, 1)

    async def sendto(self, data: bytes, component: int) -> None:
        """Send a datagram, which may be lost on the way, as one that is larger than its path takes.

        Raises: ConnectionError: there is no path. ValueError: it is larger than UDP's can be.
        """
        if len(data) > LARGEST_DATAGRAM:
            raise ValueError(f"{len(data)} bytes: a datagram has {LARGEST_DATAGRAM} at the most")
        if self._transport is None or self._closed:
            raise ConnectionError("Cannot send data, not connected")
        self._transport.send(data, component)

    def set_selected_pair(
        self, component: int, local_foundation: str, remote_foundation: str
    ) -> None:
        """Use a pair without any check, instead of `connect`, for a peer without ICE.

        Raises: UsageError: there are no such candidates.
        """
        for pair in self._agent.session.pairs.pairs:
            named = (local_foundation, remote_foundation)
            if pair.component == component and pair.foundation == named:
                self._agent.force(pair, now=self._network.now())
                self._kick()
                return
        raise UsageError(f"no pair has the foundations {local_foundation}, {remote_foundation}")

    # Beyond aioice.

    @property
    def state(self) -> State:
        """How the connection is doing."""
        return self._agent.state

    def selected_pair(self, component: int = 1) -> SelectedPair | None:
        """Return the path that data takes; None: there is none yet."""
        pair = self._agent.session.usable(component)
        if pair is None:
            return None
        ours, theirs = pair.seen_as or pair.local, pair.remote.candidate
        took = pair.history.round_trip
        return SelectedPair(
            ours.candidate, theirs, ours.origin, pair.is_relayed, pair.nominated, took
        )

    def report(self) -> Json:
        """Return all that is known about candidates and pairs: schema natkit.ice/1."""
        inquiries = [] if self._transport is None else self._transport.generation.gatherer.inquiries
        document = report(self._agent, inquiries)
        document["unresolved"] = [str(candidate) for candidate in self._unresolved]
        return document

    def restart(self, local_username: str | None = None, local_password: str | None = None) -> None:
        """Begin anew, for when the network has changed (RFC 8445 §9).

        Afterwards gather, exchange names, passwords and candidates, and connect again, on both
        sides. Until then data takes the path it took.

        Args:   local_username, local_password: None: random ones.
        Raises: ConnectionError: it was closed.
        """
        if self._closed:
            raise ConnectionError("Cannot restart, the connection is closed")
        chosen = _chosen(local_username, local_password, self._agent.randomness)
        self._agent.restart(chosen, now=self._network.now())
        if self._transport is not None:
            self._transport.renew()
        self._gathering = None
        self._local.clear()
        self._unresolved.clear()
        self._remote_end = False
        self.remote_username = self.remote_password = None
        self._kick()

    # Within.

    def _started(self) -> IceTransport:
        if self._transport is None:
            self._transport = IceTransport(
                self._network,
                self._agent,
                on_event=self._heard,
                on_data=self._receive,
            )
        return self._transport

    async def _gather(self) -> None:
        hide = None
        if self._hide_addresses:
            names = self._names = self._names or await Mdns.open(self._network)
            hide = partial(names.publish, self._agent.randomness)
        if not self._closed:
            await gather(self._started(), replace(self._plan(), hide=hide))

    async def _mdns(self) -> Mdns | None:
        """Return what looks names up; None: nothing can, here."""
        try:
            opened = await Mdns.open(self._network) if self._names is None else self._names
        except NatkitError:
            return None
        if self._names not in (None, opened):
            opened.close()  # two look-ups have opened it at once
        self._names = self._names or opened
        return self._names

    def _plan(self) -> GatherPlan:
        policy = self.transport_policy
        first = [] if self.stun_server is None else [self.stun_server]
        return replace(
            self._asked_for,
            hosts=policy is not TransportPolicy.RELAY,
            stun=tuple(stun_uri(server) for server in (*first, *self.stun_servers)),
            turn=() if policy is TransportPolicy.NO_RELAY else self._turn(),
            hide_mapped=policy is TransportPolicy.RELAY,
        )

    def _turn(self) -> tuple[TurnServer, ...]:
        if self.turn_server is None:
            return self.turn_servers
        host, port = self.turn_server
        scheme = "turns" if self.turn_ssl else "turn"
        host = f"[{host}]" if ":" in host else host
        transport = "tcp" if self.turn_ssl else self.turn_transport
        uri = f"{scheme}:{host}:{port}?transport={transport}"
        return (TurnServer(uri, self.turn_username, self.turn_password), *self.turn_servers)

    def _heard(self, event: Event) -> None:
        match event:
            case CandidateFound(local):
                self._local.append(local.candidate)
                self._tell(local.candidate)
            case GatheringEnded():
                self._tell(None)
            case StateChanged(state):
                self._wake()
                if self.on_state is not None:
                    self.on_state(state)

    def _tell(self, candidate: Candidate | None) -> None:
        if self.on_candidate is not None:
            self.on_candidate(candidate)

    @property
    def _is_lost(self) -> bool:
        """True when nothing comes any more: it was closed, or the peer no longer consents."""
        failed = self._agent.state is State.FAILED
        return self._closed or (failed and self._agent.path_of_any() is not None)

    def _receive(self, data: bytes, component: int) -> None:
        self._received.append((data, component))
        self._arrived.set()

    def _wake(self) -> None:
        """Have everybody who waits look whether there is reason to."""
        self._changed.set()
        self._arrived.set()

    def _kick(self) -> None:
        if self._transport is not None:
            self._transport.kick()


async def _next(event: asyncio.Event) -> None:
    """Wait until it happens once more."""
    event.clear()
    await event.wait()


def _chosen(
    username: str | None, password: str | None, randomness: Callable[[int], bytes]
) -> Credentials | None:
    """Return credentials of which one part or both were chosen; None: neither."""
    if username is None and password is None:
        return None
    fresh = Credentials.fresh(randomness)
    return Credentials(username or fresh.ufrag, password or fresh.password).checked()
