"""What needs aiortc's private names: its gatherer, ICE transport and peer connection, on natkit.

aiortc offers no place to put another ICE agent in. The names are used here and nowhere else,
`STANDS_ON` lists them, and importing this fails where one is gone.

Rule of the file: each class has the name of the class of aiortc's that it extends. So Python gives
`self.__name` in both the same attribute, and a method `__name` here takes the place of theirs.
"""

from __future__ import annotations

import asyncio
import dis
import importlib.metadata
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast

from aiortc import rtcicetransport, rtcpeerconnection, sdp
from aiortc.exceptions import InvalidStateError
from aiortc.rtcconfiguration import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceParameters
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.rtcsessiondescription import RTCSessionDescription
from aiortc.stats import RTCStatsReport

from natkit.aio.connection import Connection, TransportPolicy
from natkit.aiortc.stats import transport_stats
from natkit.aiortc.values import from_aiortc, servers, to_aiortc
from natkit.ice.candidate import Candidate
from natkit.ice.events import State
from natkit.network import Network

STANDS_ON = {
    rtcicetransport.RTCIceGatherer: (
        "_connection",
        "_remote_candidates_end",
        "__setState",
    ),
    rtcicetransport.RTCIceTransport: ("_connection", "_recv", "_send", "__setState"),
    RTCDtlsTransport: ("_get_stats",),
    RTCRtpTransceiver: ("_get_mline_index",),
    rtcpeerconnection.RTCPeerConnection: (
        "__certificates",
        "__configuration",
        "__connect",
        "__connectionState",
        "__createDtlsTransport",
        "__dtlsTransports",
        "__gather",
        "__iceConnectionState",
        "__iceTransports",
        "__isClosed",
        "__localDescription",
        "__sctp",
        "__sctp_mline_index",
        "__transceivers",
        "__updateConnectionState",
        "__updateIceConnectionState",
        "__updateIceGatheringState",
    ),
}
"""The private names of aiortc's that this module uses, by class; those with "__" are mangled."""


def missing() -> list[str]:
    """Return the private names that the installed aiortc no longer has."""
    return [
        f"{cls.__name__}.{name}"
        for cls, names in STANDS_ON.items()
        for name in names
        if (f"_{cls.__name__}{name}" if name.startswith("__") else name) not in names_in(cls)
    ]


def names_in(cls: type) -> set[str]:
    """Return what a class defines, and the attributes that its methods set."""
    found = set(vars(cls))
    for member in vars(cls).values():
        if isinstance(member, FunctionType):
            steps = dis.get_instructions(member)
            found.update(step.argval for step in steps if step.opname == "STORE_ATTR")
    return found


if gone := missing():
    raise ImportError(
        f"aiortc {importlib.metadata.version('aiortc')} has no {', '.join(gone)}, which "
        "natkit.aiortc stands on. It was written for 1.16: pip install 'aiortc~=1.16.0'"
    )


class RTCIceGatherer(rtcicetransport.RTCIceGatherer):
    """aiortc's gatherer, on natkit.

    It emits "localcandidate" for every candidate as it is found, which aiortc's does not.

    Args:   interfaces, network: see `RTCPeerConnection`.
    Raises: ValueError: a URL is none of a STUN or TURN server.
    """

    def __init__(
        self,
        iceServers: list[RTCIceServer] | None = None,
        iceTransportPolicy: RTCIceTransportPolicy = RTCIceTransportPolicy.ALL,
        local_username: str | None = None,
        local_password: str | None = None,
        *,
        interfaces: Sequence[str] | None = None,
        network: Network | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__([])  # it makes a connection of aioice's, which is never used
        stun, turn = servers(self.getDefaultIceServers() if iceServers is None else iceServers)
        self.connection = Connection(
            False,
            local_username=local_username,
            local_password=local_password,
            transport_policy=TransportPolicy[iceTransportPolicy.name],
            stun_servers=stun,
            turn_servers=turn,
            on_candidate=self._found,
            interfaces=interfaces,
            network=network,
            randomness=randomness,
        )
        self._connection: Any = self.connection
        self._news = asyncio.Event()

    async def gather(self) -> None:
        """Gather candidates, once, or once more after a restart."""
        if self.state != "new":
            return
        self.__setState("gathering")
        session = self.connection.local_username
        await self.connection.gather_candidates()
        if session == self.connection.local_username:
            self.__setState("completed")
            self._news.set()

    async def begun(self) -> None:
        """Wait until there is a candidate, if gathering is under way."""
        while self.state == "gathering" and not self.connection.local_candidates:
            self._news.clear()
            await self._news.wait()

    def renew(self, parameters: RTCIceParameters | None) -> RTCIceParameters:
        """Begin an ICE restart; return the new parameters.

        Args: parameters: to be used, as all transports of a peer connection have the same.
        """
        chosen = parameters or RTCIceParameters()
        self.connection.restart(chosen.usernameFragment, chosen.password)
        self._remote_candidates_end = False
        self.__setState("new")
        return self.getLocalParameters()

    def _found(self, candidate: Candidate | None) -> None:
        self._news.set()
        if candidate is not None:
            self.emit("localcandidate", to_aiortc(candidate))


class RTCIceTransport(rtcicetransport.RTCIceTransport):
    """aiortc's ICE transport, on natkit.

    Its state is also "disconnected" while the peer is silent, and a restart mends "failed": what
    is above it waits, and is told of no error until `stop`.
    """

    def __init__(self, gatherer: RTCIceGatherer) -> None:
        super().__init__(gatherer)
        self.gatherer, self._ice = gatherer, gatherer.connection
        self._ice.on_state = self._became
        self._recv, self._send = self._receive, self._transmit
        self.peer: RTCIceParameters | None = None
        self._settled, self._moved = asyncio.Event(), asyncio.Event()

    async def addRemoteCandidate(self, candidate: RTCIceCandidate | None) -> None:
        """Add a candidate of the peer's; None: there will be no more."""
        if not self.gatherer._remote_candidates_end:
            self.gatherer._remote_candidates_end = candidate is None
            told = None if candidate is None else from_aiortc(candidate)
            await self._ice.add_remote_candidate(told)

    async def start(self, remoteParameters: RTCIceParameters) -> None:
        """Find a path to the peer; with other parameters than before: another one.

        Raises: InvalidStateError: it was stopped.
        """
        if self.state == "closed":
            raise InvalidStateError("RTCIceTransport is closed")
        if self.peer == remoteParameters:
            await self._settled.wait()
            return
        self.peer, self._settled = remoteParameters, asyncio.Event()
        if self.state != "completed":
            self._set("checking")
        self._ice.remote_is_lite = remoteParameters.iceLite
        self._ice.remote_username = remoteParameters.usernameFragment
        self._ice.remote_password = remoteParameters.password
        try:
            await self._ice.connect()
            self._set("completed")
        except ConnectionError:
            self._set("failed")
        self._settled.set()

    async def stop(self) -> None:
        """Close it for good."""
        await super().stop()
        self._moved.set()

    def _set(self, state: str) -> None:
        if self.state != "closed":
            self.__setState(state)
            self._moved.set()

    def _became(self, state: State) -> None:
        match state:
            case State.CONNECTED | State.COMPLETED:
                self._set("completed")
            case State.DISCONNECTED | State.FAILED:
                self._set(state.value)
            case State.CHECKING if self.state in ("disconnected", "failed"):
                self._set("checking")

    async def _receive(self) -> bytes:
        while True:
            try:
                return await self._ice.recv()
            except ConnectionError:
                if self.state == "closed":
                    raise
            self._moved.clear()
            await self._moved.wait()

    async def _transmit(self, data: bytes) -> None:
        """Send; what has no path is lost, as packets are, since a restart may bring one back."""
        try:
            await self._ice.send(data)
        except ConnectionError:
            if self.state == "closed":
                raise


@dataclass(frozen=True, slots=True)
class _Section:
    """A media section of the description, and what carries it."""

    index: int
    mid: str
    dtls: RTCDtlsTransport


class RTCPeerConnection(rtcpeerconnection.RTCPeerConnection):
    """aiortc's peer connection, on natkit.

    Beyond aiortc's there are:

    - the event "icecandidate", with an `RTCIceCandidate`, or None after the last. Whoever listens
      to it before `setLocalDescription` sends candidates to the peer one by one: then that does
      not wait for them, and the description has none;
    - `restartIce()`, and answers to the peer's restarts;
    - "disconnected", as a state of ICE and of the connection, while the peer is silent;
    - every server of the configuration, and the selected pair in `getStats()`.

    Args:
        interfaces: names of the interfaces to gather on; None: all but loopback.
        network:    where to open sockets; None: this machine.
        randomness: of ICE, as `natkit.Connection` takes it.
    """

    def __init__(
        self,
        configuration: RTCConfiguration | None = None,
        *,
        interfaces: Sequence[str] | None = None,
        network: Network | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._interfaces, self._network, self._randomness = interfaces, network, randomness
        self._restart_is_due = False
        self._gathering: set[asyncio.Future[None]] = set()
        super().__init__(configuration)

    def restartIce(self) -> None:
        """Have the next offer begin anew with ICE, for when the network has changed.

        Until the answer to it has led to a path, data takes the one it took.
        """
        self._restart_is_due = True

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; after `restartIce()`, one with new ICE parameters."""
        if self._restart_is_due and not self.__isClosed:
            self._restart_is_due = False
            self._renew()
        return await super().createOffer()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Take the peer's description; an offer with new ICE parameters restarts ICE."""
        if sessionDescription.type == "offer" and self.signalingState == "stable":
            said = sdp.SessionDescription.parse(sessionDescription.sdp)
            told = {media.rtp.muxId: media.ice for media in said.media}
            for section in self._first_sections():
                began = _ours(section.dtls).peer
                if began is not None and told.get(section.mid, began) != began:
                    self._renew()
                    break
        await super().setRemoteDescription(sessionDescription)

    async def getStats(self) -> RTCStatsReport:
        """Return aiortc's statistics, and those of all transports, candidates and chosen paths."""
        report = await super().getStats()
        for dtls in self.__dtlsTransports:
            (known,) = dtls._get_stats().values()
            ice = _ours(dtls)
            for stats in transport_stats(known, ice.state, ice.gatherer.connection):
                report.add(stats)
        return report

    def _renew(self) -> None:
        parameters = None
        for dtls in self.__dtlsTransports:
            parameters = _ours(dtls).gatherer.renew(parameters)

    def _sections(self) -> Iterator[_Section]:
        for transceiver in self.__transceivers:
            index, mid = transceiver._get_mline_index(), transceiver.mid
            if index is not None and mid is not None:
                yield _Section(index, mid, transceiver.receiver.transport)
        if self.__sctp is not None and self.__sctp.mid is not None:
            index = self.__sctp_mline_index
            if index is not None:
                yield _Section(index, self.__sctp.mid, self.__sctp.transport)

    def _first_sections(self) -> list[_Section]:
        """Return for each transport the first section it carries: where candidates belong."""
        first: dict[RTCDtlsTransport, _Section] = {}
        for section in sorted(self._sections(), key=lambda section: section.index):
            first.setdefault(section.dtls, section)
        return list(first.values())

    def _describe(self, ice: RTCIceTransport) -> None:
        """Put what has been gathered into the local description, if that is of this session."""
        described, ours = self.__localDescription(), ice.gatherer.getLocalParameters()
        media_sections = [] if described is None else described.media
        for section in self._sections():
            # A section of an offer that is being made is not in the description yet.
            if section.dtls.transport is ice and section.index < len(media_sections):
                media = media_sections[section.index]
                said = media.ice
                if said is not None and said.usernameFragment == ours.usernameFragment:
                    rtcpeerconnection.add_transport_description(media, section.dtls)

    def _found(self, ice: RTCIceTransport, candidate: RTCIceCandidate) -> None:
        """Tell whoever listens of a candidate."""
        self._describe(ice)
        for section in self._first_sections():
            if section.dtls.transport is ice:
                candidate.sdpMid, candidate.sdpMLineIndex = section.mid, section.index
                self.emit("icecandidate", candidate)

    # In place of aiortc's.

    def __createDtlsTransport(self) -> RTCDtlsTransport:
        """Create a transport; all have the same ICE parameters, for peers that bundle."""
        first = next(iter(self.__iceTransports), None)
        same = RTCIceParameters() if first is None else first.iceGatherer.getLocalParameters()
        gatherer = RTCIceGatherer(
            self.__configuration.iceServers,
            self.__configuration.iceTransportPolicy,
            same.usernameFragment,
            same.password,
            interfaces=self._interfaces,
            network=self._network,
            randomness=self._randomness,
        )
        ice = RTCIceTransport(gatherer)
        dtls = RTCDtlsTransport(ice, self.__certificates)
        gatherer.on("statechange", lambda: self._describe(ice))
        gatherer.on("statechange", self.__updateIceGatheringState)
        gatherer.on("localcandidate", lambda candidate: self._found(ice, candidate))
        ice.on("statechange", self.__updateIceConnectionState)
        ice.on("statechange", self.__updateConnectionState)
        dtls.on("statechange", self.__updateConnectionState)
        self.__iceTransports.add(ice)
        self.__dtlsTransports.add(dtls)
        self.__updateIceGatheringState()
        self.__updateIceConnectionState()
        self.__updateConnectionState()
        return dtls

    async def __gather(self) -> None:
        """Gather on every transport, and wait for it unless candidates are sent one by one."""
        begun = [asyncio.ensure_future(ice.iceGatherer.gather()) for ice in self.__iceTransports]
        self._gathering.update(begun)
        for task in begun:
            task.add_done_callback(self._gathering.discard)
        if not self.listeners("icecandidate"):
            await asyncio.gather(*begun)

    async def __connect(self) -> None:
        """Connect once there are candidates: aiortc's takes none for "not yet to be connected"."""
        for dtls in list(self.__dtlsTransports):
            await _ours(dtls).gatherer.begun()
        await super().__connect()

    def __updateIceGatheringState(self) -> None:
        before = self.iceGatheringState
        super().__updateIceGatheringState()
        if before != self.iceGatheringState == "complete":
            self.emit("icecandidate", None)

    def __updateIceConnectionState(self) -> None:
        if not self._interrupted():
            super().__updateIceConnectionState()
        elif self.iceConnectionState != "disconnected":
            self.__iceConnectionState = "disconnected"
            self.emit("iceconnectionstatechange")

    def __updateConnectionState(self) -> None:
        if not self._interrupted() or {it.state for it in self.__dtlsTransports} != {"connected"}:
            super().__updateConnectionState()
        elif self.connectionState != "disconnected":
            self.__connectionState = "disconnected"
            self.emit("connectionstatechange")

    def _interrupted(self) -> bool:
        states = {transport.state for transport in self.__iceTransports}
        return not self.__isClosed and "disconnected" in states and "failed" not in states


def _ours(dtls: RTCDtlsTransport) -> RTCIceTransport:
    """Return what carries it, which `__createDtlsTransport` made."""
    return cast(RTCIceTransport, dtls.transport)
