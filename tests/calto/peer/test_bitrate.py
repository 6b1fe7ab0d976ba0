"""How the bitrate follows what the other side reports, and what Opus makes of it."""

from __future__ import annotations

from typing import Any

import av
import pytest
from aiortc import RTCPeerConnection
from aiortc.codecs import CODECS

from calto_demo.peer.audio import Tone
from calto_demo.peer.bitrate import FIRST, LEAST, MOST, STEPS, BitrateControl, Speech
from calto_demo.peer.opus import FRAME, RATE, OpusEncoder, announce_fec


def after(reports: int, loss: float, round_trip: float | None = 0.04) -> Speech:
    control = BitrateControl()
    for _ in range(reports):
        control.reported(loss=loss, round_trip=round_trip)
    return control.speech


def test_a_call_begins_with_good_speech():
    assert BitrateControl().speech == Speech(FIRST, 0.0)


def test_a_good_path_is_given_more_up_to_a_limit():
    assert FIRST < after(10, 0.0).bitrate < MOST
    assert after(100, 0.0).bitrate == MOST


def test_a_bad_path_is_given_less_down_to_a_limit_and_more_fec():
    speech = after(10, 0.3)
    assert speech.bitrate < FIRST
    assert speech.loss == pytest.approx(0.3, abs=0.03)
    assert after(100, 0.3).bitrate == LEAST


@pytest.mark.parametrize("loss", [0.02, 0.05, 0.10])
def test_between_good_and_bad_it_stays(loss: float):
    assert after(20, loss).bitrate == FIRST


def test_a_growing_round_trip_is_a_queue_and_given_less():
    control = BitrateControl()
    control.reported(loss=0.0, round_trip=0.04)
    for _ in range(5):
        control.reported(loss=0.0, round_trip=0.3)
    assert control.speech.bitrate < FIRST


def test_a_path_that_was_always_long_is_no_queue():
    assert after(10, 0.0, round_trip=0.6).bitrate > FIRST


def test_an_unknown_round_trip_is_no_reason():
    assert after(10, 0.0, round_trip=None).bitrate > FIRST


def test_one_lost_report_does_not_change_how_we_speak():
    control = BitrateControl()
    control.reported(loss=0.05, round_trip=None)
    assert control.speech == Speech(FIRST, 0.0)


def packets(encoder: OpusEncoder, frames: int) -> list[Any]:
    tone, found = Tone(), []
    for _ in range(frames):
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(tone.next())
        frame.sample_rate = RATE
        found += encoder.encode(frame)
    return found


def test_a_frame_is_a_packet_and_packets_follow_each_other_across_a_change():
    encoder = OpusEncoder(Speech(64_000))
    before = packets(encoder, 25)
    encoder.speech = Speech(20_000)
    later = packets(encoder, 25)
    assert [packet.pts for packet in before + later] == [FRAME * n for n in range(50)]
    assert sum(packet.size for packet in later) < sum(packet.size for packet in before)


@pytest.mark.parametrize("bitrate", STEPS)
def test_a_bitrate_is_about_kept(bitrate: int):
    found = packets(OpusEncoder(Speech(bitrate)), 100)[10:]
    assert 8 * sum(packet.size for packet in found) / (len(found) * 0.02) < 1.1 * bitrate


def has_fec(packet: Any) -> bool:
    """Tell whether a packet has a copy of the one before: the LBRR flag (RFC 6716 §4.2.4).

    Of a mono packet of one 20 ms frame in SILK or hybrid mode it is the second bit; CELT has none.
    """
    data = bytes(packet)
    return data[0] >> 3 < 16 and bool(data[1] & 0x40)


@pytest.mark.parametrize("bitrate", STEPS)
def test_where_packets_are_lost_some_have_a_copy_of_the_one_before(bitrate: int):
    assert sum(map(has_fec, packets(OpusEncoder(Speech(bitrate, 0.2)), 100))) > 10
    assert sum(map(has_fec, packets(OpusEncoder(Speech(bitrate, 0.0)), 100))) == 0


async def test_descriptions_ask_for_fec():
    announce_fec()
    peer = RTCPeerConnection()
    peer.addTransceiver("audio")
    offer = await peer.createOffer()
    [opus] = [codec for codec in CODECS["audio"] if codec.mimeType == "audio/opus"]
    assert f"a=fmtp:{opus.payloadType} minptime=10;useinbandfec=1" in offer.sdp
    await peer.close()
