"""Two peers call each other in the simulator."""

from __future__ import annotations

import asyncio
import re
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calto_demo.compare.places import Lab, Place
from calto_demo.negotiation import CallFailed
from calto_demo.peer.audio import Echo, Recorder, Sink, SoundFile, Source, Tone, ToneMeter
from calto_demo.peer.peer import Peer
from calto_demo.peer.signalling import (
    Description,
    HungUp,
    Interrupted,
    LineSignalling,
    Message,
    Trickled,
)

TALK = 2.0


class Duo:
    """Alice and bob, with signalling between them."""

    def __init__(self, alice: Peer, bob: Peer, ways: list[LineSignalling]) -> None:
        self.alice, self.bob, self.ways = alice, bob, ways

    async def connect(self) -> None:
        await asyncio.gather(self.alice.call(self.ways[0]), self.bob.answer(self.ways[1]))


@asynccontextmanager
async def duo(
    place: Place,
    *,
    sources: tuple[Source, Source],
    sinks: tuple[Sink, Sink],
    paths: tuple[str, str] = ("auto", "auto"),
) -> AsyncIterator[Duo]:
    names = ("alice", "bob")
    peers = [
        Peer(place.servers, source, sink, path=path, network=place.network(name))
        for name, source, sink, path in zip(names, sources, sinks, paths, strict=True)
    ]
    ways = [await place.signalling(name) for name in names]
    try:
        yield Duo(*peers, ways)
    finally:
        for peer in peers:
            await peer.close()
        for way in ways:
            await way.close()


def played(
    pair: str, play: Callable[[Duo], Awaitable[Any]], sources: Any = None, **options: Any
) -> Any:
    """Play a call between two homes, and return what `play` returned."""
    sinks = options.pop("sinks", None) or (ToneMeter(), ToneMeter())

    async def main(place: Place) -> Any:
        given = sources or (Tone(), Tone())
        async with duo(place, sources=given, sinks=sinks, **options) as two:
            return await play(two)

    return Lab(pair, seed=1).play(main)


async def ended(peer: Peer) -> None:
    """Wait until a call is over, within a minute of the simulator's."""
    async with asyncio.timeout(60):
        await peer.wait()


def tones(peer: Peer) -> int:
    assert isinstance(peer.sink, ToneMeter)
    return peer.sink.tones


def test_both_hear_each_other_and_reach_every_phase_in_turn():
    async def play(two: Duo) -> None:
        await two.connect()
        await two.alice.network.sleep(TALK)
        for peer in (two.alice, two.bob):
            assert tones(peer) > 0.9 * TALK / 0.02
            reached = peer.phases
            order = [reached.began, reached.connected, reached.secured, reached.audio]
            assert order == sorted(order, key=lambda it: it or 0.0)
            assert None not in (reached.gathered, reached.told, reached.heard)

    played("home-vs-home", play)


@pytest.mark.parametrize(("path", "relayed"), [("auto", False), ("direct", False), ("relay", True)])
def test_a_call_takes_the_path_it_was_asked_to(path: str, relayed: bool):
    async def play(two: Duo) -> None:
        await two.connect()
        for peer in (two.alice, two.bob):
            assert (await peer.stats()).relayed is relayed
        assert two.alice.report()["state"] in ("connected", "completed")

    played("home-vs-full-cone", play, paths=(path, "auto"))


def test_who_wants_a_direct_call_takes_no_relay_of_the_other_side():
    async def play(two: Duo) -> float:
        with pytest.raises(CallFailed) as failed:
            await two.alice.call(two.ways[0])
        assert failed.value.why == "no path was found"
        return two.alice.network.now()

    async def answered(two: Duo) -> float:
        answering = asyncio.ensure_future(two.bob.answer(two.ways[1]))
        took = await play(two)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        return took

    assert played("symmetric-vs-symmetric", answered, paths=("direct", "auto")) < 60.0


def test_an_echo_sends_back_what_was_said():
    async def play(two: Duo) -> int:
        await two.connect()
        await two.alice.network.sleep(TALK)
        return tones(two.alice)

    echo = Echo()
    sinks = (ToneMeter(), echo)
    assert played("home-vs-home", play, (Tone(), echo), sinks=sinks) > 0.8 * TALK / 0.02


def test_a_file_is_sent_and_what_comes_is_recorded(tmp_path: Path):
    said, heard = tmp_path / "said.wav", tmp_path / "heard.wav"
    recorder, tone = Recorder(said), Tone()
    for _ in range(100):
        recorder.hear(tone.next())
    recorder.close()

    async def play(two: Duo) -> None:
        await two.connect()
        await two.alice.network.sleep(TALK)

    sinks = (ToneMeter(), Recorder(heard))
    played("home-vs-home", play, (SoundFile(said), Tone()), sinks=sinks)
    with wave.open(str(heard)) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, 48000)
        meter = ToneMeter()
        while piece := file.readframes(960):
            meter.hear(piece)
    assert meter.tones > 80


def test_who_is_muted_sends_silence_and_the_call_goes_on():
    async def play(two: Duo) -> None:
        await two.connect()
        two.alice.voice.muted = True
        await two.alice.network.sleep(1.0)
        before = tones(two.bob)
        await two.alice.network.sleep(1.0)
        assert tones(two.bob) == before
        two.alice.voice.muted = False
        await two.alice.network.sleep(1.0)
        assert tones(two.bob) > before + 40

    played("home-vs-home", play)


def test_who_hangs_up_is_heard_at_the_other_end():
    async def play(two: Duo) -> None:
        await two.connect()
        await two.alice.hang_up("bye")
        await two.bob.over.wait()
        assert two.bob.ended == "bye"

    played("home-vs-home", play)


def test_a_call_that_is_hung_up_before_it_is_answered_fails_with_the_reason():
    async def play(two: Duo) -> None:
        calling = asyncio.ensure_future(two.alice.call(two.ways[0]))
        await two.ways[1].receive()
        await two.ways[1].send(HungUp("busy"))
        with pytest.raises(CallFailed) as failed:
            await calling
        assert failed.value.why == "busy"

    played("home-vs-home", play)


UNUSABLE = {
    "garbage": "garbage",
    "nothing in it": "v=0\r\n",
    "no ICE": (
        "v=0\r\na=fingerprint:sha-256 00\r\na=setup:actpass\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
    ),
    "no number": "v=x\r\n",
}


@pytest.mark.parametrize("sdp", UNUSABLE.values(), ids=list(UNUSABLE))
def test_an_offer_that_cannot_be_used_fails_the_call_and_the_caller_is_told(sdp: str):
    async def play(two: Duo) -> None:
        await two.ways[0].send(Description("offer", sdp))
        with pytest.raises(CallFailed, match="this call's offer cannot be used"):
            await two.bob.answer(two.ways[1])
        await two.bob.hang_up()
        assert await two.ways[0].receive() == HungUp("failed", "this call's offer cannot be used")

    played("home-vs-home", play)


class Bare:
    """Signalling of somebody who tells no fingerprint."""

    def __init__(self, way: LineSignalling) -> None:
        self.receive, self._way = way.receive, way

    async def send(self, message: Message) -> None:
        if isinstance(message, Description):
            bare, left_out = re.subn(r"a=fingerprint:.*\n", "", message.sdp)
            assert left_out
            message = replace(message, sdp=bare)
        await self._way.send(message)


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_a_description_without_a_fingerprint_is_refused_and_the_other_side_is_told_why(kind: str):
    what = f"this call's {kind} has no DTLS fingerprint"

    async def play(two: Duo) -> None:
        alice, bob = two.ways
        if kind == "offer":
            refuser, hearing, telling = two.bob, two.bob.answer(bob), two.alice.call(Bare(alice))
        else:
            refuser, hearing, telling = two.alice, two.alice.call(alice), two.bob.answer(Bare(bob))
        told = asyncio.ensure_future(telling)
        async with asyncio.timeout(60):
            with pytest.raises(CallFailed, match=what):
                await hearing
            await refuser.hang_up()
            with pytest.raises(CallFailed) as failed:
                await told
        assert failed.value.why == f"failed ({what})"

    played("home-vs-home", play)


def test_an_offer_that_can_be_taken_but_not_answered_fails_the_call():
    async def play(two: Duo) -> None:
        calling = asyncio.ensure_future(two.alice.call(two.ways[0]))
        offer = await two.ways[1].receive()
        assert isinstance(offer, Description)
        twice = offer.sdp + offer.sdp[offer.sdp.index("m=audio") :]
        with pytest.raises(CallFailed, match="this call's offer cannot be used"):
            await two.bob.answer(two.ways[1], Description("offer", twice))
        await two.bob.hang_up()
        with pytest.raises(CallFailed, match="failed"):
            await calling

    played("home-vs-home", play)


@pytest.mark.parametrize("sdp", UNUSABLE.values(), ids=list(UNUSABLE))
def test_an_answer_that_cannot_be_used_fails_the_call_and_the_callee_is_told(sdp: str):
    async def play(two: Duo) -> None:
        calling = asyncio.ensure_future(two.alice.call(two.ways[0]))
        await two.ways[1].receive()
        await two.ways[1].send(Description("answer", sdp))
        with pytest.raises(CallFailed, match="this call's answer cannot be used"):
            await calling
        await two.alice.hang_up()
        while isinstance(message := await two.ways[1].receive(), Trickled):
            pass
        assert message == HungUp("failed", "this call's answer cannot be used")

    played("home-vs-home", play)


@pytest.mark.parametrize(
    "candidate",
    [{"candidate": "candidate:x"}, {"candidate": 7}, {"sdpMid": "0"}],
    ids=["too short", "no text", "none"],
)
def test_a_candidate_that_cannot_be_used_ends_the_call_with_that_reason(candidate: dict[str, Any]):
    async def play(two: Duo) -> None:
        await two.connect()
        await two.ways[1].send(Trickled(candidate))
        with pytest.raises(CallFailed, match="this call's candidate cannot be used"):
            await ended(two.alice)
        assert two.alice.ended is None  # so that the other side is told
        await two.alice.hang_up()
        await two.bob.over.wait()
        assert two.bob.ended == "failed"

    played("home-vs-home", play)


def test_a_mistake_in_what_goes_on_beside_the_call_ends_it_with_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
):
    async def play(two: Duo) -> None:
        seen: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: seen.append(told))
        await two.connect()
        monkeypatch.setattr(two.alice, "stats", broken)
        with pytest.raises(CallFailed, match="ZeroDivisionError"):
            await ended(two.alice)
        assert isinstance(seen[0]["exception"], ZeroDivisionError)

    async def broken() -> None:
        raise ZeroDivisionError

    played("home-vs-home", play)


def test_why_the_other_side_hung_up_is_told_in_its_words():
    async def play(two: Duo) -> None:
        calling = asyncio.ensure_future(two.alice.call(two.ways[0]))
        await two.ways[1].receive()
        await two.ways[1].send(HungUp("failed", "no \x1b[31mmicrophone"))
        with pytest.raises(CallFailed) as failed:
            await calling
        assert failed.value.why == "failed (no  [31mmicrophone)"

    played("home-vs-home", play)


def test_a_call_goes_on_without_signalling_and_is_not_begun_without():
    async def play(two: Duo) -> None:
        await two.connect()
        for way in two.ways:
            await way.close()
        before = tones(two.alice)
        await two.alice.network.sleep(TALK)
        assert tones(two.alice) > before + 80
        assert two.alice.ended is None

    async def alone(two: Duo) -> None:
        calling = asyncio.ensure_future(two.alice.call(two.ways[0]))
        await two.ways[1].receive()
        await two.ways[1].close()
        with pytest.raises(CallFailed):
            await calling

    played("home-vs-home", play)
    played("home-vs-home", alone)


class Restarted:
    """A caller's signalling whose server is started again right after the answer."""

    def __init__(self, way: LineSignalling) -> None:
        self._way, self._due = way, [Interrupted()]
        self.offers: list[bool] = []

    async def send(self, message: Message) -> None:
        if isinstance(message, Description):
            self.offers.append(message.fresh)
        elif self._due:
            return  # lost with the server
        await self._way.send(message)

    async def receive(self) -> Message:
        if len(self._due) == 1 and self.answered:
            return self._due.pop()
        message = await self._way.receive()
        self.answered = self.answered or isinstance(message, Description)
        return message

    answered = False


def test_a_call_that_a_restart_of_the_server_interrupts_in_its_middle_is_offered_afresh():
    async def play(two: Duo) -> None:
        way = Restarted(two.ways[0])
        await asyncio.gather(two.alice.call(way), two.bob.answer(two.ways[1]))
        assert way.offers == [False, True]
        await two.alice.network.sleep(TALK)
        assert tones(two.alice) > 80
        assert tones(two.bob) > 80

    played("home-vs-home", play)


def test_speech_follows_what_the_other_end_reports():
    async def play(two: Duo) -> tuple[int, int]:
        await two.connect()
        before = two.alice.voice.speech.bitrate
        await two.alice.network.sleep(8.0)
        return before, two.alice.voice.speech.bitrate

    before, later = played("home-vs-home", play)
    assert later > before
