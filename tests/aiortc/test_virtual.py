"""Whole calls of aiortc in the simulator, on its clock."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest
from aiortc import RTCConfiguration, RTCIceServer, clock

from natkit.aiortc import RTCPeerConnection, virtual_time
from natkit.aiortc.virtual import LockStepQueue
from natkit.lab.stage import Stage, on_stage
from tests.aiortc.calls import Ear, Tone

TALK = 5.0


def played(pair: str, seed: int = 1, loss: float = 0.0) -> dict[str, float]:
    """Let alice and bob talk on aiortc in the simulator, and return what alice measured."""

    async def play(stage: Stage) -> dict[str, float]:
        with virtual_time(stage.network("stun").now, seed=seed):
            return await talk(stage)

    return on_stage(pair, play, seed=seed, loss=loss)


async def talk(stage: Stage) -> dict[str, float]:
    stun = RTCConfiguration([RTCIceServer(f"stun:{host}:{port}") for host, port in stage.stun])
    a, b = (RTCPeerConnection(stun, network=stage.network(name)) for name in ("alice", "bob"))
    ears = [Ear(a), Ear(b)]
    for peer in (a, b):
        peer.addTrack(Tone())
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)
    while {a.connectionState, b.connectionState} != {"connected"}:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    connected = stage.network("alice").now()
    await asyncio.sleep(TALK)
    found = {kind.type: kind for kind in (await a.getStats()).values()}
    measured = {
        "connected": connected,
        "heard": min(ear.loud for ear in ears),
        "rtt": found["remote-inbound-rtp"].roundTripTime,
        "jitter": found["inbound-rtp"].jitter,
        "received": found["inbound-rtp"].packetsReceived,
        "lost": found["inbound-rtp"].packetsLost,
    }
    for ear in ears:
        ear.stop()
    await asyncio.gather(a.close(), b.close())
    return measured


def test_a_call_is_heard_and_its_statistics_are_of_the_simulated_network():
    found = played("home-vs-full-cone")
    assert found["heard"] > 0.9 * TALK / 0.02
    # 10 ms from each home to the internet, each way.
    assert abs(found["rtt"] - 0.04) < 0.001
    assert found["jitter"] == found["lost"] == 0


def test_a_call_goes_the_same_way_each_time():
    assert played("home-vs-home", seed=7) == played("home-vs-home", seed=7)


@pytest.mark.slow  # OpenSSL waits a second for each lost flight
def test_a_lost_handshake_is_sent_again_in_virtual_time():
    found = played("full-cone-vs-none", seed=6, loss=0.05)
    assert 1.0 < found["connected"] < 4.0
    assert found["lost"] > 0


def test_aiortc_has_its_own_clock_again_afterwards():
    before = clock.current_datetime
    with virtual_time(lambda: 0.0):
        assert clock.current_datetime().year == 2027
    assert clock.current_datetime is before


def test_whoever_puts_waits_until_the_reader_has_dealt_with_it():
    items: queue.Queue[int | None] = LockStepQueue()
    done = []

    def read() -> None:
        while (item := items.get()) is not None:
            done.append(item)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        items.put(number)
        assert done == list(range(number + 1))
    items.put(None)
    reader.join()
