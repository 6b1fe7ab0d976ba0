"""Sounds to send, and places for those that come: 20 ms each, mono, 48,000 samples a second."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import struct
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from calto_demo.peer.bitrate import Speech
from calto_demo.peer.opus import FRAME, RATE, OpusEncoder
from natkit import Unsupported, UsageError

SILENCE = bytes(2 * FRAME)

TONE = 500
"""Hz, of the tone that is sent where nothing else is asked for."""


SOUND_LIBRARY = "sounddevice"
"""Reads microphones, where somebody has installed it; nothing else here needs it."""


class Source(Protocol):
    """Something that sounds."""

    def next(self) -> bytes:
        """Return the next 20 ms: 16 bits a sample, in the machine's byte order."""


class Sink(Protocol):
    """Somebody who listens."""

    def hear(self, samples: bytes) -> None:
        """Take the next 20 ms, or another length that came in one frame.

        Raises: NatkitError: it cannot, which ends the call.
        """

    def close(self) -> None:
        """The call is over. Closing twice is harmless."""


class Tone:
    """A tone without end.

    Args: frequency: Hz, a multiple of 50, so that 20 ms fit together without a click.
    """

    def __init__(self, frequency: int = TONE) -> None:
        if frequency <= 0 or frequency % 50:
            raise UsageError(f"a tone of {frequency} Hz", why="it is a multiple of 50 above 0")
        step = 2 * math.pi * frequency / RATE
        self._wave = array("h", (int(9000 * math.sin(step * n)) for n in range(FRAME))).tobytes()

    def next(self) -> bytes:
        """Return the next 20 ms."""
        return self._wave


class SoundFile:
    """A file, once, and then silence: WAV, or whatever FFmpeg reads.

    Raises: UsageError: it cannot be read, or has no sound.
    """

    def __init__(self, path: Path) -> None:
        self._pieces = _pieces(path)
        self._first: bytes | None = next(self._pieces, None)
        if self._first is None:
            raise UsageError(f"{path} has no sound in it")

    def next(self) -> bytes:
        """Return the next 20 ms."""
        first, self._first = self._first, None
        return first or next(self._pieces, SILENCE)


def _pieces(path: Path) -> Iterator[bytes]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE, frame_size=FRAME)
    try:
        with av.open(str(path)) as container:
            for frame in (*container.decode(audio=0), None):
                for piece in resampler.resample(frame):
                    yield bytes(piece.planes[0])[: 2 * piece.samples].ljust(2 * FRAME, b"\0")
    except (OSError, IndexError, av.FFmpegError) as error:
        hint = "Give a WAV file, or another that FFmpeg reads"
        raise UsageError(f"cannot play {path}", why=str(error), hint=hint) from error


class Microphone:
    """What this machine's microphone hears; needs the library sounddevice.

    Raises: Unsupported: the library, or a microphone, is missing.
    """

    def __init__(self) -> None:
        self._heard: deque[bytes] = deque(maxlen=10)
        try:
            sounddevice: Any = importlib.import_module(SOUND_LIBRARY)
        except (ImportError, OSError) as error:  # OSError: there is no PortAudio
            raise Unsupported(
                "no microphone can be used",
                why=str(error),
                hint="pip install sounddevice, or send a file or a tone: --audio tone",
            ) from error
        try:
            self._stream = sounddevice.RawInputStream(
                RATE, FRAME, dtype="int16", channels=1, callback=self._came
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            hint = "Plug one in, or send a file or a tone: --audio tone"
            raise Unsupported("there is no microphone", why=str(error), hint=hint) from error

    def _came(self, data: Any, *_: object) -> None:
        self._heard.append(bytes(data))

    def next(self) -> bytes:
        """Return the next 20 ms, silence where none has come."""
        return self._heard.popleft() if self._heard else SILENCE


class Echo:
    """Sends back what it hears: a source and a sink."""

    def __init__(self) -> None:
        self._heard: deque[bytes] = deque(maxlen=25)

    def hear(self, samples: bytes) -> None:
        """Keep it until it is this sound's turn; half a second at most."""
        self._heard.append(samples)

    def next(self) -> bytes:
        """Return the next 20 ms, silence where none has come."""
        return self._heard.popleft() if self._heard else SILENCE

    def close(self) -> None:
        """Nothing is held."""


def _header(size: int) -> bytes:
    """Return what a WAV file of so many bytes of sound begins with."""
    about = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF%sWAVEfmt %sdata%s" % (
        (36 + size).to_bytes(4, "little"),
        about,
        size.to_bytes(4, "little"),
    )


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "Give --record a file in a folder that can be written to, on a disk with room for it"
        why = error.strerror or str(error)
        raise UsageError(f"cannot write {path}", why=why, hint=hint) from error


def check_recording(path: Path) -> None:
    """Leave `path` as it is. Raises: UsageError: no recording could be written there."""
    with _writing(path):
        try:
            path.open("xb").close()
        except FileExistsError:
            path.open("ab").close()
        else:
            path.unlink()


class Recorder:
    """Writes what it hears to a WAV file.

    Raises: UsageError: the file cannot be written; so does `hear`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _writing(self._path):
            self._file = path.open("wb", buffering=0)
            try:
                self._file.write(_header(0))
            except OSError:
                self._file.close()
                raise
        self._bytes = 0

    def hear(self, samples: bytes) -> None:
        """Write it."""
        sound = array("h", samples)
        if sys.byteorder == "big":
            sound.byteswap()
        self._bytes += len(samples)
        with _writing(self._path):
            # The header as well, so that whatever ends us leaves a whole file. (The module wave
            # cannot be used: it tries to write again when it is collected.)
            self._file.seek(0)
            self._file.write(_header(self._bytes))
            self._file.seek(0, os.SEEK_END)
            self._file.write(sound.tobytes())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class ToneMeter:
    """Tells whether what it hears is a tone (Goertzel's algorithm).

    Attributes:
        frames: how many came.
        tones:  how many of them were mostly that tone, and not too soft.
    """

    def __init__(self, frequency: int = TONE) -> None:
        self._coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
        self.frames = self.tones = 0

    def hear(self, samples: bytes) -> None:
        """Listen to it."""
        self.frames += 1
        self.tones += self._share(array("h", samples)) > 0.5

    def _share(self, samples: array[int]) -> float:
        """Return which part of the power is the tone's; 0 for what is softer than 1 %."""
        before = latest = 0.0
        power = 0
        for sample in samples:
            before, latest = latest, sample + self._coefficient * latest - before
            power += sample * sample
        if not samples or power / len(samples) < 327**2:
            return 0.0
        tone = before * before + latest * latest - self._coefficient * before * latest
        return 2 * tone / len(samples) / power

    def close(self) -> None:
        """Nothing is held."""


class Voice(MediaStreamTrack):
    """What a peer sends: a source at its pace, as Opus.

    Attributes:
        source: may be replaced at any time.
        muted:  silence goes out instead.
    """

    kind = "audio"

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source, self.muted = source, False
        self._encoder, self._sent = OpusEncoder(Speech()), 0
        self._began: float | None = None

    @property
    def speech(self) -> Speech:
        """How it is encoded, from the next packet on."""
        return self._encoder.speech

    @speech.setter
    def speech(self, speech: Speech) -> None:
        self._encoder.speech = speech

    async def recv(self) -> Any:
        """Return the next packet when it is due. Raises: MediaStreamError: it was stopped."""
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        while self.readyState == "live":
            # By the number of frames, so that late waking does not add up.
            await asyncio.sleep(self._began + self._sent * FRAME / RATE - loop.time())
            sound = self.source.next()
            for packet in self._encoder.encode(self._frame(SILENCE if self.muted else sound)):
                return packet
        raise MediaStreamError

    def _frame(self, samples: bytes) -> av.AudioFrame:
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.planes[0].update(samples)
        frame.sample_rate = RATE
        self._sent += 1
        return frame


async def listen(track: MediaStreamTrack, hear: Callable[[bytes], None]) -> None:
    """Call `hear` with what comes on a track, until it ends."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    while True:
        try:
            frame: Any = await track.recv()
        except MediaStreamError:
            return
        for piece in resampler.resample(frame):
            hear(bytes(piece.planes[0])[: 2 * piece.samples])
