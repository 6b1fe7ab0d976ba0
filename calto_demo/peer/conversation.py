"""A call at a Calto server from its first frame to its last, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calto_demo.path_report import path_report
from calto_demo.peer.account import Account, ServerRefused
from calto_demo.peer.audio import (
    SILENCE,
    Microphone,
    Recorder,
    Sink,
    SoundFile,
    Source,
    Tone,
    ToneMeter,
)
from calto_demo.peer.peer import Peer, Phases
from calto_demo.peer.session import CallSignalling, Session
from calto_demo.peer.signalling import Description, SignallingLost
from calto_demo.peer.stats import PathStats
from natkit import explain_path

SCHEMA = "calto.call/1"

GOODBYE = 3.0
"""Seconds for the server to say that the call has ended."""

Json = dict[str, Any]


class Silence:
    """Says nothing."""

    def next(self) -> bytes:
        """Return the next 20 ms."""
        return SILENCE


def source_of(audio: str) -> Source:
    """Return what `--audio` names. Raises: UsageError, Unsupported: it cannot be had."""
    match audio:
        case "tone":
            return Tone()
        case "mic":
            return Microphone()
        case "silence":
            return Silence()
    return SoundFile(Path(audio))


def sources_of(audio: str) -> Callable[[], Source]:
    """Return what gives one call after another its source. Raises: as `source_of`, at once."""
    first = source_of(audio)
    # A file begins anew in each call; of anything else one will do, as of the microphone.
    return (lambda: source_of(audio)) if isinstance(first, SoundFile) else (lambda: first)


class Conversation:
    """One call of this side's, and what is known of it.

    Args:
        person: User of the protocol, at the other end.
        direction: "out" or "in".
    """

    def __init__(
        self, account: Account, peer: Peer, call: str, person: Json, direction: str
    ) -> None:
        self.peer, self._account = peer, account
        self._call, self._person, self._direction = call, person, direction
        self._since = PathStats(peer.network.now())

    async def began(self) -> None:
        """Audio has come: what is measured begins here. Tell the server which way it came."""
        self._since = await self.peer.stats()
        await self._tell(quality(self._since, self._since, self.peer.phases))

    async def told(self) -> Json:
        """Return what is known (calto.call/1), and tell the server for its history."""
        stats = await self.peer.stats()
        figures = quality(self._since, stats, self.peer.phases)
        kind, words = await self._tell(figures)
        return {
            "schema": SCHEMA,
            "call": self._call,
            "direction": self._direction,
            "peer": {"id": self._person["id"], "name": self._person["name"]},
            "path": kind,
            "explanation": words,
            "quality": figures,
            "local": stats.local,
            "remote": stats.remote,
            "ended": self.peer.ended,
        }

    async def _tell(self, figures: Json) -> tuple[str, str]:
        """Tell the server which way the call goes; return its kind, and natkit's words for it."""
        ice = self.peer.report()
        report = path_report(ice) | {"quality": figures}
        words = explain_path(ice, names=("this side", self._person["name"])).paragraph
        with contextlib.suppress(ServerRefused):  # the history is poorer, the call is not
            # The server may know the other side's part as well.
            path = f"/api/calls/{self._call}/path"
            words = (await self._account.ask("POST", path, report))["explanation"]
        return report["kind"], words


async def place_call(
    account: Account,
    session: Session,
    person: Json,
    *,
    source: Source,
    record: Path | None,
    path: str,
    seconds: float,
    say: Callable[[str], None],
) -> Json:
    """Call somebody, talk for `seconds`, hang up, and return what came of it (calto.call/1).

    Raises: CallFailed: there was no call. ServerRefused. UsageError: `record` cannot be written.
    """
    call = str(uuid.uuid4())
    peer = Peer(await account.servers(call), source, _ear(record), path=path)
    signalling = CallSignalling(session, call, {"to": person["id"], "path": path}, say)
    conversation = Conversation(account, peer, call, person, "out")
    say(f"Connecting to {person['name']}")
    try:
        await peer.call(signalling)
        await conversation.began()
        await signalling.connected()
        say(f"Talking to {person['name']}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await peer.wait()
        return await conversation.told()
    finally:
        await _say_goodbye(peer, signalling)


async def take_call(
    account: Account,
    session: Session,
    incoming: Json,
    *,
    source: Source,
    sink: Sink | None,
    record: Path | None,
    path: str,
) -> Json:
    """Accept a call, and return what came of it when it is over.

    Args:   sink: None: a recording, where `record` asks for one.
    Raises: CallFailed: it came to nothing. ServerRefused. UsageError: as `place_call`.
    """
    call = incoming["call"]
    peer = Peer(await account.servers(call), source, sink or _ear(record), path=path)
    signalling = CallSignalling(session, call)
    conversation = Conversation(account, peer, call, incoming["peer"], "in")
    try:
        await session.send("ringing", call=call)
        await peer.answer(signalling, Description("offer", incoming["sdp"]))
        await conversation.began()
        await signalling.connected()
        await peer.wait()
        return await conversation.told()
    finally:
        await _say_goodbye(peer, signalling)


async def _say_goodbye(peer: Peer, signalling: CallSignalling) -> None:
    """Hang up, and wait until the server has taken note of it; not for long."""
    ours = peer.ended is None
    await peer.hang_up()
    with contextlib.suppress(TimeoutError, SignallingLost):
        async with asyncio.timeout(GOODBYE):
            while ours and not signalling.record:
                await signalling.receive()


def _ear(record: Path | None) -> Sink:
    return ToneMeter() if record is None else Recorder(record)


def quality(since: PathStats, now: PathStats, reached: Phases) -> Json:
    """Return the protocol's `quality`."""
    took = now.at - since.at
    came = now.received_bytes - since.received_bytes
    setup = None if reached.audio is None else reached.audio - reached.began
    return {
        "rtt_ms": _ms(now.round_trip),
        "jitter_ms": _ms(now.jitter),
        "loss": None if now.loss is None else round(now.loss, 4),
        "bitrate_bps": round(8 * came / took) if took > 0 else None,
        "setup_ms": _ms(setup),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


_FIGURES = (
    ("setup_ms", "set-up {:g} ms"),
    ("rtt_ms", "round trip {:g} ms"),
    ("jitter_ms", "jitter {:g} ms"),
    ("loss", "loss {:.1%}"),
)


def as_text(found: Json) -> str:
    """Return what to print of a call."""
    told = found["quality"]
    figures = [words.format(told[name]) for name, words in _FIGURES if told[name] is not None]
    who = f"{'to' if found['direction'] == 'out' else 'from'} {found['peer']['name']}"
    ended = "" if found["ended"] is None else f"\nThe other side ended it: {found['ended']}."
    return f"Call {who}: {found['path']}, {', '.join(figures)}.\n{found['explanation']}{ended}"
