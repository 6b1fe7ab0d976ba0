"""Calls between two peer connections in one process."""

from __future__ import annotations

import asyncio
import fractions
import math
from array import array
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
)
from aiortc.mediastreams import MediaStreamError

RATE, FRAME = 48000, 960
"""Samples a second, and in the 20 ms of one frame."""

# 500 Hz: ten periods fill a frame, so that frames fit together.
WAVE = array(
    "h", (int(10000 * math.sin(2 * math.pi * 500 * n / RATE)) for n in range(FRAME))
).tobytes()

FRAMES = 25
"""Half a second of sound, which is heard before a call counts as heard."""


class Tone(MediaStreamTrack):
    """A sound that cannot be mistaken for silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(FRAME / RATE)
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(WAVE)
        frame.pts, frame.sample_rate = self._sent, RATE
        frame.time_base = fractions.Fraction(1, RATE)
        self._sent += FRAME
        return frame


class Ear:
    """Listens to the sound that a peer connection gets."""

    def __init__(self, peer: RTCPeerConnection) -> None:
        self.loud = 0
        self._enough = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        peer.on("track", self._hear)

    def _hear(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:  # the call has ended
                return
            self.loud += max(array("h", bytes(frame.planes[0]))) > 3000
            if self.loud >= FRAMES:
                self._enough.set()

    async def hears(self) -> None:
        """Wait until as much sound has come as counts."""
        self.loud = 0
        self._enough.clear()
        await self._enough.wait()

    def stop(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()


class Call:
    """Two peers that speak to each other, and write to each other.

    Args:
        caller, callee: classes of peer connections.
        trickle:        candidates go one by one.
        relay:          a TURN server, to be used alone; None: no server.
    """

    def __init__(
        self,
        caller: type[RTCPeerConnection],
        callee: type[RTCPeerConnection],
        *,
        trickle: tuple[bool, bool] = (False, False),
        relay: RTCIceServer | None = None,
    ) -> None:
        policy = RTCIceTransportPolicy.ALL if relay is None else RTCIceTransportPolicy.RELAY
        servers = [] if relay is None else [relay]
        self.caller, self.callee = (
            cls(RTCConfiguration(iceServers=servers, iceTransportPolicy=policy))
            for cls in (caller, callee)
        )
        self.peers = self.caller, self.callee
        self.trickled: dict[RTCPeerConnection, list[Any]] = {peer: [] for peer in self.peers}
        self._told: set[asyncio.Future[None]] = set()
        self._in_order = {peer: asyncio.Lock() for peer in self.peers}
        for peer, other, wanted in zip(self.peers, self.peers[::-1], trickle, strict=True):
            if wanted:
                peer.on("icecandidate", lambda it, p=peer, o=other: self._trickle(it, p, o))
        self.ears = [Ear(peer) for peer in self.peers]
        for peer in self.peers:
            peer.addTrack(Tone())
        self.channel = self.caller.createDataChannel("chat")
        self.read: asyncio.Queue[Any] = asyncio.Queue()
        self.channel.on("message", self.read.put_nowait)
        self.opened = asyncio.Event()
        self.channel.on("open", self.opened.set)
        self.callee.on(
            "datachannel", lambda it: it.on("message", lambda text: it.send("echo " + text))
        )

    def _trickle(self, candidate: Any, peer: RTCPeerConnection, other: RTCPeerConnection) -> None:
        self.trickled[peer].append(candidate)
        # Signalling takes a while; a candidate must not come before the description.
        task = asyncio.ensure_future(self._tell(other, candidate))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self, other: RTCPeerConnection, candidate: Any) -> None:
        async with self._in_order[other]:  # the end of candidates comes last
            while other.remoteDescription is None:  # noqa: ASYNC110 - aiortc tells nobody
                await asyncio.sleep(0.005)
            await other.addIceCandidate(candidate)

    async def negotiate(self) -> None:
        """Offer and answer."""
        await self.caller.setLocalDescription()
        await self.callee.setRemoteDescription(self.caller.localDescription)
        await self.callee.setLocalDescription()
        await self.caller.setRemoteDescription(self.callee.localDescription)

    async def holds(self, seconds: float = 20.0) -> None:
        """Have both hear and read each other."""
        async with asyncio.timeout(seconds):
            await self.opened.wait()
            for ear in self.ears:
                await ear.hears()
            self.channel.send("hello")
            assert await self.read.get() == "echo hello"

    async def became(self, peer: RTCPeerConnection, state: str, seconds: float = 20.0) -> None:
        """Wait until the connection of a peer is in a state."""
        async with asyncio.timeout(seconds):
            while peer.connectionState != state:  # noqa: ASYNC110 - states come and go
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Hang up."""
        for ear in self.ears:
            ear.stop()
        await asyncio.gather(*(peer.close() for peer in self.peers))
