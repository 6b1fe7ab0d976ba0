"""Sounds to send and to hear, without a call."""

from __future__ import annotations

import math
import sys
import wave
from array import array
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from calto_demo.peer.audio import (
    SILENCE,
    Echo,
    Microphone,
    Recorder,
    SoundFile,
    Tone,
    ToneMeter,
    check_recording,
)
from calto_demo.peer.opus import FRAME, RATE
from natkit import Unsupported, UsageError


def heard(samples: bytes, frequency: int = 500) -> int:
    meter = ToneMeter(frequency)
    meter.hear(samples)
    assert meter.frames == 1
    return meter.tones


def test_a_tone_is_heard_and_no_other_and_no_silence():
    assert heard(Tone(500).next()) == 1
    assert heard(Tone(600).next()) == 0
    assert heard(SILENCE) == 0
    assert heard(b"") == 0


def test_a_tone_in_noise_counts_while_it_is_most_of_it():
    noise = [round(9000 * math.sin(7919 * n * n)) for n in range(FRAME)]
    tone = array("h", Tone().next())

    def mixed(share: float) -> bytes:
        pairs = zip(tone, noise, strict=True)
        return array("h", (round(a * share + b * (1 - share)) for a, b in pairs)).tobytes()

    assert heard(mixed(0.8)) == 1
    assert heard(mixed(0.2)) == 0


def test_a_tone_fits_together_without_a_click():
    samples = array("h", Tone().next() * 2)
    steps = [abs(b - a) for a, b in pairwise(samples)]
    assert steps[FRAME - 1] <= max(steps[: FRAME - 1])


def test_a_tone_that_would_click_is_refused():
    with pytest.raises(UsageError):
        Tone(441)


def recorded(path: Path, sounds: list[bytes]) -> Path:
    recorder = Recorder(path)
    for sound in sounds:
        recorder.hear(sound)
    recorder.close()
    recorder.close()
    return path


def test_what_was_recorded_can_be_played_and_is_followed_by_silence(tmp_path: Path):
    sounds = [Tone(500).next(), Tone(600).next(), Tone(500).next()[:600]]
    source = SoundFile(recorded(tmp_path / "a.wav", sounds))
    assert source.next() == sounds[0]
    assert source.next() == sounds[1]
    assert source.next() == sounds[2].ljust(2 * FRAME, b"\0")
    assert source.next() == SILENCE


def test_a_file_of_another_rate_and_with_two_channels_is_played_as_it_sounds(tmp_path: Path):
    path = tmp_path / "other.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16000)
        tone = [round(9000 * math.sin(2 * math.pi * 500 * n / 16000)) for n in range(16000)]
        file.writeframes(array("h", (sample for one in tone for sample in (one, one))).tobytes())
    source, meter = SoundFile(path), ToneMeter()
    for _ in range(50):
        meter.hear(source.next())
    assert meter.tones >= 48


def test_what_is_no_sound_is_refused_with_its_name(tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("not music")
    for path in (text, tmp_path / "missing.wav"):
        with pytest.raises(UsageError) as refused:
            SoundFile(path)
        assert path.name in refused.value.what


def test_a_recording_that_cannot_be_written_is_refused(tmp_path: Path):
    with pytest.raises(UsageError):
        Recorder(tmp_path / "none" / "a.wav")


def test_looking_whether_a_recording_can_be_written_leaves_everything_as_it_was(tmp_path: Path):
    older = tmp_path / "older.wav"
    older.write_bytes(b"sound")
    for path in (older, tmp_path / "new.wav"):
        check_recording(path)
    assert [(it.name, it.read_bytes()) for it in tmp_path.iterdir()] == [("older.wav", b"sound")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_recording_for_which_there_is_no_room_is_refused_with_its_name():
    with pytest.raises(UsageError, match="cannot write /dev/full: No space left"):
        Recorder(Path("/dev/full"))


def test_a_recording_whose_room_ends_is_refused_while_it_is_written(tmp_path: Path):
    resource = pytest.importorskip("resource")
    recorder, usual = Recorder(tmp_path / "a.wav"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        recorder.hear(SILENCE)  # what still has room is written
        with pytest.raises(UsageError, match=r"cannot write .*a\.wav: File too large"):
            recorder.hear(SILENCE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        recorder.close()


def test_a_recording_of_nothing_is_a_file_without_sound(tmp_path: Path):
    with wave.open(str(recorded(tmp_path / "a.wav", []))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (0, RATE, 1)


def test_without_the_library_a_microphone_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(Unsupported) as refused:
        Microphone()
    assert "pip install sounddevice" in str(refused.value.hint)


def test_a_microphone_gives_what_came_in_order_and_then_silence(monkeypatch: pytest.MonkeyPatch):
    stream = SimpleNamespace(start=lambda: None)
    callbacks = []

    def opened(*_: object, callback: object, **__: object) -> object:
        callbacks.append(callback)
        return stream

    library = SimpleNamespace(RawInputStream=opened, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    microphone = Microphone()
    for number in (b"1", b"2"):
        callbacks[0](number * 2 * FRAME, FRAME, None, None)
    assert [microphone.next()[:1] for _ in range(3)] == [b"1", b"2", b"\0"]


def test_an_echo_gives_back_what_it_heard():
    echo = Echo()
    assert echo.next() == SILENCE
    echo.hear(b"one")
    echo.hear(b"two")
    assert [echo.next(), echo.next(), echo.next()] == [b"one", b"two", SILENCE]


def test_a_second_has_fifty_frames():
    assert RATE == 50 * FRAME
