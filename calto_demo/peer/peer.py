"""One end of a call, without a browser.

A peer offers or answers over any `Signalling`, sends a source, hands what comes to a sink, and
keeps when each step was reached. Candidates go one by one; a caller keeps its own until it has an
answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCIceTransportPolicy,
)

from calto_demo.negotiation import (
    CallFailed,
    printable,
    take_candidate,
    take_description,
    usable,
    words_of,
)
from calto_demo.path_report import ice_of
from calto_demo.peer.audio import Sink, Source, Voice, listen
from calto_demo.peer.bitrate import BitrateControl
from calto_demo.peer.opus import announce_fec
from calto_demo.peer.signalling import (
    Description,
    HungUp,
    Interrupted,
    Signalling,
    SignallingLost,
    Trickled,
)
from calto_demo.peer.stats import PathStats, path_stats
from natkit import NatkitError, Network, SocketNetwork, TurnServer
from natkit.aiortc import RTCPeerConnection

PATHS = ("auto", "direct", "relay")

REPORTS = 1.0
"""Seconds between two looks at what the other side reports; aiortc reports every 0.5 to 1.5 s."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Whom a peer asks.

    Attributes: stun: URIs.
    """

    stun: Sequence[str] = ()
    turn: Sequence[TurnServer] = ()

    def configuration(self, path: str) -> RTCConfiguration:
        """Return what a path of `PATHS` needs of them."""
        servers = [RTCIceServer(uri) for uri in self.stun]
        if path != "direct":
            servers += [RTCIceServer(it.uri, it.username, it.password) for it in self.turn]
        policy = RTCIceTransportPolicy.RELAY if path == "relay" else RTCIceTransportPolicy.ALL
        return RTCConfiguration(servers, policy)


@dataclass(slots=True)
class Phases:
    """When a call reached what, on the network's clock; None: never.

    Attributes:
        began:     it was asked for.
        gathered:  the last candidate of ours was found.
        told:      our description had gone to the other side.
        heard:     the other side's had come.
        connected: ICE has a path.
        secured:   DTLS has keys for SRTP.
        audio:     the first audio was decoded.
    """

    began: float
    gathered: float | None = None
    told: float | None = None
    heard: float | None = None
    connected: float | None = None
    secured: float | None = None
    audio: float | None = None


class Peer:
    """One end of one call. `call` or `answer`, and in the end `close`.

    Args:
        path:    of `PATHS`; "relay": nothing of ours goes any other way.
        network: None: this machine's.
        randomness: of ICE; returns that many bytes.

    Attributes:
        phases: what was reached when.
        ended:  why the call is over; None: it is not.
        trouble: what has ended the call on this side, so that the other one is to be told:
            of the sink, or with what came; None: there was none.
    """

    def __init__(
        self,
        servers: Servers,
        source: Source,
        sink: Sink,
        *,
        path: str = "auto",
        network: Network | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        announce_fec()
        self.voice, self.sink, self.path = Voice(source), sink, path
        self.network = network or SocketNetwork()
        self.phases = Phases(self.network.now())
        self.ended: str | None = None
        self._message: str | None = None
        self.trouble: NatkitError | None = None
        self.over = asyncio.Event()
        self._servers, self._randomness, self._calls = servers, randomness, False
        self._signalling: Signalling | None = None
        self._held: list[Trickled] | None = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed, self._answered = asyncio.Event(), False
        self._control = BitrateControl()
        self._pc = self._connection()

    def _connection(self) -> RTCPeerConnection:
        made = RTCPeerConnection(
            self._servers.configuration(self.path),
            network=self.network,
            randomness=self._randomness,
        )
        made.addTrack(self.voice)
        made.on("track", lambda track: self._spawn(listen(track, self._hear)))
        # One that is given up still says that it has no more.
        made.on("icecandidate", lambda found: self._found(found) if made is self._pc else None)
        made.on("iceconnectionstatechange", self._moved)
        made.on("connectionstatechange", self._moved)
        return made

    async def call(self, signalling: Signalling) -> None:
        """Offer, and wait until audio comes.

        Raises: CallFailed: it never will. SignallingLost.
        """
        self._calls = True
        await self._describe(signalling)
        self._spawn(self._attend(signalling))
        await self._until(lambda: self.phases.audio is not None)

    async def answer(self, signalling: Signalling, offer: Description | None = None) -> None:
        """Answer the other side's offer, and wait until audio comes. Raises: as `call`.

        Args: offer: None: it will come over `signalling`.
        """
        first = await signalling.receive() if offer is None else offer
        if not isinstance(first, Description):
            raise CallFailed("the other side has not called", why=f"it said {first}")
        self._signalling = signalling
        try:
            await self._take(first)
            await self._describe(signalling)
        except CallFailed as error:
            self._fail(error)
            raise
        await self._flush()
        self._spawn(self._attend(signalling))
        await self._until(lambda: self.phases.audio is not None)

    async def wait(self) -> None:
        """Wait until the call is over. Raises: NatkitError: `trouble` has ended it."""
        await self.over.wait()
        if self.trouble is not None:
            raise self.trouble

    async def stats(self) -> PathStats:
        """Return how the call is doing."""
        return path_stats((await self._pc.getStats()).values(), self.network.now())

    def report(self) -> dict[str, Any]:
        """Return all that is known about candidates and paths: schema natkit.ice/1."""
        return ice_of(self._pc)

    async def hang_up(self, reason: str = "hangup") -> None:
        """Tell the other side that the call is over, of `trouble` where there was some; close."""
        last = HungUp(reason) if self.trouble is None else HungUp("failed", self.trouble.what)
        if self._signalling is not None and self.ended is None:
            with contextlib.suppress(SignallingLost):
                await self._signalling.send(last)
        await self.close()

    async def close(self) -> None:
        """End the call. Closing twice is harmless."""
        self._end("closed")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pc.close()
        self.sink.close()

    # Descriptions and candidates.

    async def _renew(self) -> None:
        """Take a new peer connection: the other side has one, or never heard of ours."""
        old, voice = self._pc, self.voice
        self.voice = Voice(voice.source)
        self.voice.muted, self.voice.speech = voice.muted, voice.speech
        # The new one's candidates must not come before its description.
        self._held = []
        self._pc = self._connection()
        await old.close()

    async def _describe(self, signalling: Signalling, *, fresh: bool = False) -> None:
        self._signalling = signalling
        answers = self._pc.signalingState == "have-remote-offer"
        # To some offers that could be taken there is no answer.
        with usable("offer") if answers else contextlib.nullcontext():
            await self._pc.setLocalDescription()
        ours = self._pc.localDescription
        await signalling.send(Description(ours.type, ours.sdp, fresh))
        self.phases.told = self.phases.told or self.network.now()

    async def _take(self, told: Description) -> None:
        self.phases.heard = self.phases.heard or self.network.now()
        sdp = told.sdp if self.path != "direct" else _without_relays(told.sdp)
        await take_description(self._pc, told.kind, sdp)
        self._answered = True
        self._changed.set()

    async def _attend(self, signalling: Signalling) -> None:
        """Do as the other side says, until signalling or the call ends; audio goes on without."""
        with contextlib.suppress(SignallingLost):
            while True:
                match await signalling.receive():
                    case Description() as told:
                        if told.fresh:
                            await self._renew()
                        await self._take(told)
                        if told.kind == "offer":
                            await self._describe(signalling)
                        await self._flush()
                    case Interrupted() if self._calls and self._answered and not self.phases.audio:
                        # What was to set the call up may be lost: it is said again.
                        await self._renew()
                        await self._describe(signalling, fresh=True)
                        await self._flush()
                    case Interrupted():
                        pass
                    case Trickled(candidate) if self._pc.signalingState != "have-local-offer":
                        relays = self.path != "direct"
                        await take_candidate(self._pc, candidate, relays=relays)
                    case Trickled():
                        pass  # before the answer to our offer: of a connection that is gone
                    case HungUp(reason, message):
                        self._end(reason, message)
                        return
        if not self._answered:
            self._end("signalling has ended")

    def _found(self, candidate: RTCIceCandidate | None) -> None:
        if candidate is None:
            self.phases.gathered = self.network.now()
        told = Trickled(None if candidate is None else _init(candidate))
        if self._held is not None:
            self._held.append(told)
        else:
            self._spawn(self._tell(told))

    async def _flush(self) -> None:
        """Tell what candidates there are, and from now on each as it is found."""
        held, self._held = self._held or [], None
        for told in held:
            await self._tell(told)

    async def _tell(self, told: Trickled) -> None:
        if self._signalling is not None:
            with contextlib.suppress(SignallingLost):
                await self._signalling.send(told)

    # What happens.

    def _hear(self, samples: bytes) -> None:
        if self.phases.audio is None:
            self.phases.audio = self.network.now()
            self._changed.set()
            self._spawn(self._follow())
        try:
            self.sink.hear(samples)
        except NatkitError as error:
            self._fail(error)

    async def _follow(self) -> None:
        """Speak as the other side's reports say is best."""
        while True:
            await self.network.sleep(REPORTS)
            now = await self.stats()
            if now.reported_loss is not None:
                self.voice.speech = self._control.reported(
                    loss=now.reported_loss, round_trip=now.round_trip
                )

    def _moved(self) -> None:
        now = self.network.now()
        if self._pc.iceConnectionState == "completed":
            self.phases.connected = self.phases.connected or now
        if self._pc.connectionState == "connected":
            self.phases.secured = self.phases.secured or now
        if self._pc.connectionState == "failed":
            self._end("no path was found" if self.phases.connected is None else "the path is lost")
        self._changed.set()

    def _end(self, why: str, message: str | None = None) -> None:
        if self.ended is None:
            self.ended, self._message = why, printable(message or "")
        self._wake()

    def _fail(self, error: NatkitError) -> None:
        """End the call from here, but for `ended`: whoever closes tells the other side."""
        self.trouble = self.trouble or error
        self._wake()

    def _wake(self) -> None:
        self.over.set()
        self._changed.set()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self.trouble is not None:
                raise self.trouble
            if self.ended is not None:
                said = f" ({self._message})" if self._message else ""
                raise CallFailed("there is no call", why=f"{self.ended}{said}")
            self._changed.clear()
            await self._changed.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """Have no task of the call's end unnoticed."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, NatkitError):
            self._fail(error)
        elif error is not None:
            # A mistake of ours: its traceback is for whoever mends it.
            told = {"message": "a task of a call has failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(told)
            why = f"{type(error).__name__}: {error}"
            self._fail(CallFailed("the call cannot go on", why=why))


def _init(candidate: RTCIceCandidate) -> dict[str, Any]:
    return {
        "candidate": words_of(candidate),
        "sdpMid": candidate.sdpMid,
        "sdpMLineIndex": candidate.sdpMLineIndex,
    }


def _without_relays(sdp: str) -> str:
    lines = sdp.splitlines(keepends=True)
    return "".join(it for it in lines if not (it.startswith("a=candidate:") and " relay " in it))
