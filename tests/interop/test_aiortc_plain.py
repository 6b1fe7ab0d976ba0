"""aiortc on natkit's ICE against aiortc as it is, in both roles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiortc
import pytest

import natkit.aiortc
from tests.aiortc.calls import Call

pytestmark = pytest.mark.interop

OURS, PLAIN = natkit.aiortc.RTCPeerConnection, aiortc.RTCPeerConnection


@pytest.fixture(params=["we-call", "they-call"])
async def call(request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    """A call between one peer on natkit and one on aioice; ours is `call.ours`."""
    if request.param == "we-call":
        made = Call(OURS, PLAIN, trickle=(True, False))
    else:
        made = Call(PLAIN, OURS, trickle=(False, True))
    yield made
    await made.close()


async def test_sound_and_data_go_both_ways_and_our_candidates_trickle(call: Call):
    await call.negotiate()
    await call.holds()
    (ours,) = (peer for peer in call.peers if isinstance(peer, OURS))
    assert call.trickled[ours][-1] is None
    assert len(call.trickled[ours]) > 1
    assert [peer.connectionState for peer in call.peers] == ["connected", "connected"]


async def test_their_hanging_up_closes_ours(call: Call):
    await call.negotiate()
    await call.holds()
    (ours,) = (peer for peer in call.peers if isinstance(peer, OURS))
    (theirs,) = (peer for peer in call.peers if peer is not ours)
    await theirs.close()
    await call.became(ours, "closed")


async def test_our_restart_offer_which_they_do_not_follow_leaves_the_call_alone(call: Call):
    await call.negotiate()
    await call.holds()
    (ours,) = (peer for peer in call.peers if isinstance(peer, OURS))
    if call.caller is not ours:
        call.caller, call.callee = call.callee, call.caller
    ours.restartIce()
    await call.negotiate()
    await call.holds()
    assert ours.connectionState == "connected"
