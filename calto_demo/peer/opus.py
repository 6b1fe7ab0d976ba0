"""Opus as Calto speaks it: mono, with in-band FEC, at a bitrate that may change while it speaks.

aiortc's own encoder is stereo at 96 kb/s, and can do neither. A track may hand aiortc packets that
are encoded already, so nothing of aiortc's has to be replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiortc.codecs import CODECS
from av import AudioFrame, AudioResampler, Packet
from av.audio.codeccontext import AudioCodecContext

from calto_demo.peer.bitrate import Speech

RATE, FRAME = 48_000, 960
"""Samples a second, and in the 20 ms of a packet."""

FMTP = {"minptime": 10, "useinbandfec": 1}
"""What we can use of Opus (RFC 7587 §6.1), as browsers say it."""


def announce_fec() -> None:
    """Have aiortc's offers and answers say that in-band FEC is wanted.

    Without it a browser sends none. aiortc has one list of codecs for the process.
    """
    for codec in CODECS["audio"]:
        if codec.mimeType.lower() == "audio/opus":
            codec.parameters.update(FMTP)


class OpusEncoder:
    """Makes packets of frames, as `speech` says from the next packet on.

    Attributes: speech: may be set at any time.
    """

    def __init__(self, speech: Speech) -> None:
        self.speech = speech
        self._made_for: Speech | None = None
        self._codec: AudioCodecContext
        self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE, frame_size=FRAME)
        self._sent = 0

    def encode(self, frame: AudioFrame) -> Iterator[Packet[Any]]:
        """Yield the packets that are complete with `frame`, numbered without a gap."""
        for piece in self._resampler.resample(frame):
            if self._made_for != self.speech:
                self._renew()
            piece.pts = None
            for packet in self._codec.encode(piece):
                packet.pts = packet.dts = self._sent
                self._sent += FRAME
                yield packet

    def _renew(self) -> None:
        # PyAV opens an encoder once and for all. A new one costs a click that decoders smooth over.
        speech, codec = self.speech, AudioCodecContext.create("libopus", "w")
        codec.bit_rate, codec.sample_rate = speech.bitrate, RATE
        codec.format, codec.layout = "s16", "mono"
        percent = str(round(100 * speech.loss))
        codec.options = {
            "application": "voip",
            "frame_duration": "20",
            "vbr": "constrained",  # else a whistle takes half as much again
            "fec": "1",
            "packet_loss": percent,
        }
        self._codec, self._made_for = codec, speech
