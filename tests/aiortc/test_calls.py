"""Two aiortc peers on natkit's ICE, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiortc import RTCIceServer

from natkit.aiortc import RTCIceGatherer, RTCPeerConnection
from tests.aiortc.calls import Call
from tests.turnserver import USER, TurnUnderTest, turn_server

pytestmark = pytest.mark.interop

MakeCall = Callable[..., Call]


@pytest.fixture
async def calls() -> AsyncIterator[MakeCall]:
    """Makes calls, which end with the test."""
    made: list[Call] = []

    def make(**options: Any) -> Call:
        made.append(Call(RTCPeerConnection, RTCPeerConnection, **options))
        return made[-1]

    yield make
    for call in made:
        await call.close()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    where = tmp_path_factory.mktemp("turn")
    with turn_server(where, ips=("127.0.0.1",), allow=("127.0.0.1/32",), program="natkit") as it:
        yield it


def chosen(stats: Any) -> tuple[Any, Any, Any]:
    """Return the selected pair in a statistics report, and its two candidates."""
    (transport,) = (it for it in stats.values() if it.type == "transport")
    pair = stats[transport.selectedCandidatePairId]
    return pair, stats[pair.localCandidateId], stats[pair.remoteCandidateId]


async def test_sound_and_data_go_both_ways(calls: MakeCall):
    call = calls()
    await call.negotiate()
    await call.holds()
    assert [peer.iceConnectionState for peer in call.peers] == ["completed", "completed"]
    assert [peer.connectionState for peer in call.peers] == ["connected", "connected"]


@pytest.mark.parametrize("trickle", [(True, True), (True, False), (False, True)])
async def test_candidates_trickle_out_for_whoever_listens(
    calls: MakeCall, trickle: tuple[bool, bool]
):
    call = calls(trickle=trickle)
    await call.caller.setLocalDescription()
    assert ("a=candidate" in call.caller.localDescription.sdp) is not trickle[0]
    await call.negotiate()
    await call.holds()
    for peer, wanted in zip(call.peers, trickle, strict=True):
        told = call.trickled[peer]
        if wanted:
            assert told[-1] is None
            assert all(it.sdpMid is not None for it in told[:-1])
            assert told[0].ip in peer.localDescription.sdp
            assert "a=end-of-candidates" in peer.localDescription.sdp
        else:
            assert told == []


async def test_statistics_tell_the_selected_pair_and_every_candidate(calls: MakeCall):
    call = calls()
    await call.negotiate()
    await call.holds()
    stats = await call.caller.getStats()
    pair, local, remote = chosen(stats)
    assert (pair.state, pair.nominated) == ("succeeded", True)
    assert pair.currentRoundTripTime < 5
    assert pair.responsesReceived >= 1
    assert (local.candidateType, remote.candidateType) == ("host", "host")
    _, theirs, ours = chosen(await call.callee.getStats())
    assert (local.address, local.port) == (ours.address, ours.port)
    assert (remote.address, remote.port) == (theirs.address, theirs.port)
    assert sum(it.type == "local-candidate" for it in stats.values()) >= 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_relay_alone_carries_the_call(calls: MakeCall, relay: TurnUnderTest, transport: str):
    uri = f"turn:127.0.0.1:{relay.port}?transport={transport}"
    dead = "turn:127.0.0.1:9?transport=udp"
    call = calls(relay=RTCIceServer([dead, uri], *USER), trickle=(True, True))
    await call.negotiate()
    await call.holds()
    told = [it for peer in call.peers for it in call.trickled[peer] if it is not None]
    assert {it.type for it in told} == {"relay"}
    _, local, remote = chosen(await call.caller.getStats())
    assert (local.candidateType, remote.candidateType) == ("relay", "relay")
    assert (local.url, local.relayProtocol) == (uri, transport)


async def test_every_server_is_asked_and_a_dead_one_delays_nobody(
    calls: MakeCall, relay: TurnUnderTest
):
    servers = [
        RTCIceServer("stun:127.0.0.1:9"),
        RTCIceServer(f"stun:127.0.0.1:{relay.port}"),
        RTCIceServer([f"turn:127.0.0.1:{relay.port}", "turn:127.0.0.1:9"], *USER),
        RTCIceServer(f"turn:127.0.0.1:{relay.port}?transport=tcp", *USER),
    ]
    gatherer = RTCIceGatherer(servers)
    async with asyncio.timeout(10):
        await gatherer.gather()
    asked = {it["server"] for it in gatherer.connection.report()["inquiries"]}
    assert len(asked) == 5
    relayed = [it for it in gatherer.getLocalCandidates() if it.type == "relay"]
    assert len(relayed) == 2
    await gatherer.connection.close()


@pytest.mark.parametrize("trickle", [(False, False), (True, True)])
@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_restart_finds_another_path_and_the_call_goes_on(
    calls: MakeCall, who: str, trickle: tuple[bool, bool]
):
    call = calls(trickle=trickle)
    await call.negotiate()
    await call.holds()
    before = [chosen(await peer.getStats())[1].port for peer in call.peers]
    if who == "callee":
        call.caller, call.callee = call.callee, call.caller
    call.caller.restartIce()
    said = [peer.localDescription.sdp.split("a=ice-ufrag:")[1][:4] for peer in call.peers]
    await call.negotiate()
    for peer, ufrag in zip(call.peers, said, strict=True):
        assert f"a=ice-ufrag:{ufrag}" not in peer.localDescription.sdp
    await call.holds()
    await asyncio.sleep(0.2)
    after = [chosen(await peer.getStats())[1].port for peer in call.peers]
    assert not set(before) & set(after)
    assert [peer.connectionState for peer in call.peers] == ["connected", "connected"]


async def test_offer_without_a_restart_keeps_the_path(calls: MakeCall):
    call = calls()
    await call.negotiate()
    await call.holds()
    before = [chosen(await peer.getStats())[1].port for peer in call.peers]
    await call.negotiate()
    await call.holds()
    assert [chosen(await peer.getStats())[1].port for peer in call.peers] == before


async def test_silent_peer_is_disconnected_then_failed_and_a_restart_brings_it_back(
    calls: MakeCall, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("natkit.ice.consent.INTERVAL", 0.1)
    monkeypatch.setattr("natkit.ice.consent.EXPIRY", 2.0)
    call = calls()
    await call.negotiate()
    await call.holds()
    states: list[tuple[str, str]] = []
    caller = call.caller
    caller.on("iceconnectionstatechange", lambda: states.append(caller.iceConnectionState))
    for connection in connections(call):
        connection._agent.settings = replace(connection._agent.settings, silence=0.5)
        monkeypatch.setattr(connection._transport, "came", lambda *_: None)
    await call.became(caller, "disconnected")
    await call.became(caller, "failed")
    assert states == ["disconnected", "failed"]
    monkeypatch.undo()
    caller.restartIce()
    await call.negotiate()
    await call.holds()
    assert states[2:] == ["checking", "completed"]


async def test_hanging_up_ends_the_other_side(calls: MakeCall):
    call = calls()
    await call.negotiate()
    await call.holds()
    await call.caller.close()
    await call.became(call.callee, "closed")


async def test_closing_while_candidates_are_gathered_leaves_nothing_open(calls: MakeCall):
    call = calls(trickle=(True, True))
    await call.caller.setLocalDescription()
    await call.close()
    assert call.caller.connectionState == "closed"


def connections(call: Call) -> list[Any]:
    return [peer.sctp.transport.transport.gatherer.connection for peer in call.peers]
