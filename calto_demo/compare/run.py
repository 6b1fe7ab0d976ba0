"""Make the same call twice, and measure it: alice calls bob, each sends a tone, each listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from calto_demo.compare.places import NoMeeting, Place, Play
from calto_demo.compare.result import Comparison, Leg, Phase, Sample
from calto_demo.compare.words import died, explain
from calto_demo.negotiation import CallFailed
from calto_demo.peer.audio import Tone, ToneMeter
from calto_demo.peer.opus import FRAME, RATE
from calto_demo.peer.peer import Peer, Phases
from calto_demo.peer.signalling import LineSignalling, Signalling, SignallingLost
from calto_demo.peer.stats import PathStats

T = TypeVar("T")

INTERVAL = 0.5
"""Seconds between two samples."""


class Where(Protocol):
    """A place that a call can be played in; each call has one of its own."""

    def play(self, play: Play[T]) -> T:
        """Await `play(place)`."""


def compare(
    where: Where, seconds: float, price: float | None, say: Callable[[str], None]
) -> Comparison:
    """Make both calls, and let each talk for `seconds`.

    Args:   say: hears what is going on.
    Raises: NatkitError: the place cannot be had.
    """
    say(f"calling directly, {seconds:g} s of audio …")
    direct = where.play(lambda place: one_call(place, "direct", seconds))
    say(f"calling through the relay, {seconds:g} s of audio …")
    relay = where.play(lambda place: one_call(place, "relay", seconds))
    return Comparison(str(where), seconds, direct, relay, price)


async def one_call(place: Place, path: str, seconds: float) -> Leg:
    """Make a call whose caller takes `path` ("direct" or "relay"), and measure it."""
    # The callee of a relayed call may do as it likes: the caller's relay is on the way anyhow.
    paths = {"alice": path, "bob": "direct" if path == "direct" else "auto"}
    ears = [ToneMeter(), ToneMeter()]
    alice, bob = (
        Peer(
            place.servers,
            Tone(),
            ear,
            path=chosen,
            network=place.network(name),
            randomness=place.randomness(name),
        )
        for ear, (name, chosen) in zip(ears, paths.items(), strict=True)
    )
    ways: Sequence[LineSignalling] = ()
    try:
        ways = await _meet(place)
        why = await _set_up(alice, bob, ways)
        drops = None if place.drops is None else died(place.drops)
        if why is not None:
            explanation = explain((alice.report(), bob.report()), place.nats)
            return Leg("failed", explanation, drops=drops)
        # Not at the instant of a packet, of which there is one every 20 ms: whether it counts would
        # be a matter of chance.
        await alice.network.sleep(FRAME / RATE / 4)
        carried, tones = await place.carried(), [ear.tones for ear in ears]
        samples, last = await _talk(alice, seconds)
        carried = await place.carried() - carried
        heard = min(ear.tones - before for ear, before in zip(ears, tones, strict=True))
        leg = _leg(alice, samples, last, max(it.phases.audio or 0.0 for it in (alice, bob)))
        return replace(
            leg,
            explanation=explain((alice.report(), bob.report()), place.nats),
            heard=min(1.0, heard * FRAME / RATE / seconds),
            carried=carried,
            drops=drops,
        )
    except NoMeeting as error:
        told = f"{error}."
        return Leg("failed", told[0].upper() + told[1:])
    finally:
        await alice.hang_up()
        await bob.close()
        await asyncio.gather(*(way.close() for way in ways))


async def _meet(place: Place) -> Sequence[LineSignalling]:
    """Return alice's and bob's signalling. Raises: NoMeeting: one of them has none."""
    found = await asyncio.gather(
        place.signalling("alice"), place.signalling("bob"), return_exceptions=True
    )
    ways = [it for it in found if isinstance(it, LineSignalling)]
    for failure in found:
        if isinstance(failure, BaseException):
            await asyncio.gather(*(way.close() for way in ways))
            raise failure
    return ways


async def _set_up(alice: Peer, bob: Peer, ways: Sequence[Signalling]) -> str | None:
    """Let alice call bob; return why there is no call, None where both hear each other."""
    answering = asyncio.ensure_future(bob.answer(ways[1]))
    try:
        await alice.call(ways[0])
        await answering
    except (CallFailed, SignallingLost) as error:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        return str(error)
    return None


async def _talk(peer: Peer, seconds: float) -> tuple[list[Sample], PathStats]:
    samples: list[Sample] = []
    began = before = await peer.stats()
    for number in range(1, max(1, round(seconds / INTERVAL)) + 1):
        due = began.at + number * seconds / max(1, round(seconds / INTERVAL))
        await peer.network.sleep(max(0.0, due - peer.network.now()))
        now = await peer.stats()
        samples.append(_sample(began, before, now))
        before = now
    return samples, before


def _sample(began: PathStats, before: PathStats, now: PathStats) -> Sample:
    lost, received = now.lost - before.lost, now.received - before.received
    expected = lost + received
    return Sample(
        at=now.at - began.at,
        rtt=now.round_trip,
        jitter=now.jitter,
        loss=max(0, lost) / expected if expected > 0 else None,
        bitrate=8 * (now.received_bytes - before.received_bytes) / (now.at - before.at),
    )


def _leg(alice: Peer, samples: list[Sample], last: PathStats, audio: float) -> Leg:
    """Return what alice knows of a call in which both heard something at `audio`."""
    round_trips = [sample.rtt for sample in samples if sample.rtt is not None]
    return Leg(
        path="relayed" if last.relayed else "direct",
        explanation="",
        phases=phases(alice.phases, audio),
        setup=audio - alice.phases.began,
        rtt=sum(round_trips) / len(round_trips) if round_trips else None,
        jitter=last.jitter,
        loss=last.loss,
        bitrate=sum(sample.bitrate for sample in samples) / len(samples),
        pair=None if last.local is None or last.remote is None else (last.local, last.remote),
        samples=samples,
    )


def phases(reached: Phases, audio: float) -> list[Phase]:
    """Return the parts of a set-up that ended when both heard something, at `audio`."""
    marks = (
        ("gathering", reached.began, reached.gathered),
        ("signalling", reached.told, reached.heard),
        ("ICE", reached.heard, reached.connected),
        ("DTLS", reached.connected, reached.secured),
        ("first audio", reached.secured, audio),
    )
    return [
        Phase(name, start - reached.began, end - start)
        for name, start, end in marks
        if start is not None and end is not None
    ]
