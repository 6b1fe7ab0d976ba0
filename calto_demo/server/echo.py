"""The echo contact: a peer in this process that answers every call and sends back what it hears.

It speaks the protocol as every client does, only without a socket. Its media runs on natkit's ICE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from aiortc import RTCConfiguration, RTCIceServer, RTCSessionDescription

from calto_demo.negotiation import (
    CallFailed,
    take_candidate,
    take_description,
    usable,
    words_of,
)
from calto_demo.path_report import ice_of, path_report
from calto_demo.server import frames
from calto_demo.server.failures import FAILURES
from calto_demo.server.hub import Hub
from calto_demo.server.ice_servers import IceServers
from calto_demo.server.people import User
from calto_demo.server.refusal import Refused
from calto_demo.server.requests import PathReport, plain
from calto_demo.server.services import Services
from natkit.aiortc import RTCPeerConnection

MOST_CALLS = 20
"""Each costs an encoder and a decoder."""

_log = logging.getLogger("calto.echo")


class EchoCall:
    """One call that is answered.

    Args:
        say:  sends a frame of ours.
        keep: keeps the PathReport of a call.
        configuration: of ICE.
    """

    def __init__(
        self,
        call: str,
        say: Callable[[frames.CallFrame], Coroutine[Any, Any, None]],
        keep: Callable[[str, dict[str, Any]], Coroutine[Any, Any, None]],
        configuration: RTCConfiguration,
    ) -> None:
        self._call, self._say, self._keep = call, say, keep
        self._configuration = configuration
        self._legs: dict[str, RTCPeerConnection] = {}
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def hear(self, frame: dict[str, Any]) -> None:
        """Take a frame of this call."""
        self._frames.put_nowait(frame)

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if "main" in self._legs:
            await self._tell_path(self._legs["main"])
        for connection in self._legs.values():
            await connection.close()

    async def _run(self) -> None:
        while True:
            frame = await self._frames.get()
            try:
                await self._handle(frame)
            except CallFailed as error:
                _log.warning("the echo hangs up", extra={"call": self._call, "why": str(error)})
                await self._say(frames.HangUp(0, self._call, "failed", error.what))
            except Exception:
                _log.exception("the echo cannot go on", extra={"call": self._call})
                await self._say(frames.HangUp(0, self._call, "failed", "the echo failed"))

    async def _handle(self, frame: dict[str, Any]) -> None:
        leg = frame.get("leg", "main")
        match frame["type"]:
            case "incoming":
                await self._say(frames.Ringing(0, self._call))
                connection, answer = await self._answer("main", frame["sdp"], fresh=True)
                await self._say(frames.Accept(0, self._call, answer.sdp))
                # After it has gone: our candidates must not come before it.
                with usable("offer"):
                    await connection.setLocalDescription(answer)
            case "offer":
                connection, answer = await self._answer(leg, frame["sdp"], fresh=frame["fresh"])
                await self._say(frames.Answer(0, self._call, answer.sdp, leg))
                with usable("offer"):
                    await connection.setLocalDescription(answer)
            case "candidate" if leg in self._legs:
                await take_candidate(self._legs[leg], frame["candidate"])

    async def _answer(
        self, leg: str, offer: str, *, fresh: bool
    ) -> tuple[RTCPeerConnection, RTCSessionDescription]:
        """Return the answer to an offer; what comes from there goes back there."""
        if fresh and leg in self._legs:
            await self._legs.pop(leg).close()
        if leg not in self._legs:
            self._legs[leg] = self._connection()
        connection = self._legs[leg]
        await take_description(connection, "offer", offer)
        with usable("offer"):
            return connection, await connection.createAnswer()

    def _connection(self) -> RTCPeerConnection:
        connection = RTCPeerConnection(self._configuration)
        connection.on("track", connection.addTrack)

        async def changed() -> None:
            if connection.connectionState == "connected":
                await self._say(frames.Connected(0, self._call))
                await self._tell_path(connection)

        async def found(candidate: Any) -> None:
            await self._say_candidate(connection, candidate)

        connection.on("connectionstatechange", changed)
        connection.on("icecandidate", found)
        return connection

    async def _tell_path(self, connection: RTCPeerConnection) -> None:
        """Tell which way the call goes, as every client does."""
        if self._legs.get("main") is not connection or not connection.getTransceivers():
            return
        ice = ice_of(connection)
        if ice["selected"]:
            await self._keep(self._call, path_report(ice))

    async def _say_candidate(self, connection: RTCPeerConnection, candidate: Any) -> None:
        legs = [name for name, known in self._legs.items() if known is connection]
        if not legs:  # it was closed for a fresh one
            return
        init = None
        if candidate is not None:
            words = words_of(candidate)
            init = frames.IceCandidate(words, candidate.sdpMid, candidate.sdpMLineIndex)
        await self._say(frames.Candidate(0, self._call, init, legs[0]))


class Echo:
    """The contact. `open` it, and `leave` when done. Args: host: of TURN, as seen from here."""

    def __init__(self, services: Services, user: User, host: str) -> None:
        self._services, self._user, self._host = services, user, host
        self._session = f"echo-{services.hub.process}"
        self._calls: dict[str, EchoCall] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Be there for whoever calls."""
        hub: Hub = self._services.hub
        joined = await hub.join(self._user.id, self._session, 0, self, "open")
        self._known = joined.member.session
        joined.member.open(frames.write({"type": "welcome"}))
        self._services.presence.announce(self._user.id)

    def close(self, _code: int, _reason: str) -> None:
        """Nothing is to be closed: `leave` ends it."""

    async def leave(self) -> None:
        """End every call."""
        for call in list(self._calls):
            await self._calls.pop(call).close()
        await asyncio.gather(*self._closing)

    def send(self, data: bytes) -> None:
        """Take a frame, as a socket does."""
        frame = msgspec.json.decode(data)
        self._known.acknowledged(frame.get("seq", 0))
        call = frame.get("call")
        match frame["type"]:
            case "incoming" if call not in self._calls:
                self._begin(call, frame)
            case "ended" | "stop" if call in self._calls:
                closing = asyncio.create_task(self._calls.pop(call).close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            case _ if call in self._calls:
                self._calls[call].hear(frame)

    def _begin(self, call: str, incoming: dict[str, Any]) -> None:
        if len(self._calls) < MOST_CALLS:
            self._calls[call] = EchoCall(call, self._say, self._keep, self._configuration(call))
            self._calls[call].hear(incoming)

    async def _say(self, frame: frames.CallFrame) -> None:
        try:
            await self._services.switchboard.handle(self._user, self._session, frame)
        except Refused as error:  # the call has ended meanwhile, mostly
            _log.debug("the echo is refused", extra={"call": frame.call, "why": str(error)})
        except FAILURES:
            _log.exception("the echo cannot say what it has to", extra={"call": frame.call})

    async def _keep(self, call: str, report: dict[str, Any]) -> None:
        told = plain(msgspec.convert(report, PathReport))
        try:
            found = await self._services.ledger.get(call)
            await self._services.keep_path(found, self._user.id, told)
        except FAILURES:
            _log.exception("the echo cannot say which way it went", extra={"call": call})

    def _configuration(self, call: str) -> RTCConfiguration:
        minted: IceServers = self._services.ice
        servers = minted.mint(self._user.id, call, self._host)["iceServers"]
        return RTCConfiguration(
            [
                RTCIceServer(one["urls"], one.get("username"), one.get("credential"))
                for one in servers
            ]
        )
