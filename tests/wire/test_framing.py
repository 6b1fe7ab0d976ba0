"""Streams cut anywhere give the same messages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire import ChannelData, Data, FrameReader, Message, Method, Software

MESSAGE = Message.request(Method.BINDING, bytes(12), Software("framed"))
INDICATION = Message.indication(Method.DATA, bytes(12), Data(bytes(5)))
FRAMES = [
    MESSAGE,
    ChannelData(0x4000, b"odd"),
    INDICATION,
    ChannelData(0x4FFF, b""),
    ChannelData(0x4ABC, bytes(1200)),
    MESSAGE,
]


def on_stream(frame: Message | ChannelData) -> bytes:
    return frame.encode(padded=True) if isinstance(frame, ChannelData) else frame.encode()


STREAM = b"".join(map(on_stream, FRAMES))


def read(*pieces: bytes) -> list[Message | ChannelData]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def test_many_frames_in_one_segment_come_out_whole() -> None:
    assert read(STREAM) == FRAMES


def test_stream_fed_byte_by_byte_gives_the_same_frames() -> None:
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == FRAMES


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_stream_cut_anywhere_gives_the_same_frames(cuts: list[int]) -> None:
    ends = [0, *cuts, len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in itertools.pairwise(ends))) == FRAMES


def test_frame_comes_out_with_its_last_byte_of_padding() -> None:
    reader = FrameReader()
    padded = ChannelData(0x4000, b"a").encode(padded=True)
    assert list(reader.feed(padded[:-1])) == []
    assert reader.pending == 7
    assert list(reader.feed(padded[-1:])) == [ChannelData(0x4000, b"a")]
    assert reader.pending == 0


@pytest.mark.parametrize("first", [0x04, 0x16, 0x3F, 0x80, 0xFF])
def test_first_byte_of_another_protocol_is_refused_at_once(first: int) -> None:
    with pytest.raises(MalformedMessage, match="first byte"):
        read(bytes([first]))


def test_wrong_cookie_is_refused_before_the_announced_length_arrives() -> None:
    with pytest.raises(MalformedMessage, match="magic cookie"):
        read(b"\x00\x01\xff\xfc\x21\x13")


def test_frames_before_the_break_come_out_first() -> None:
    frames = FrameReader().feed(on_stream(MESSAGE) + b"\x16\x03\x01")
    assert next(frames) == MESSAGE
    with pytest.raises(MalformedMessage, match="first byte"):
        next(frames)


def test_malformed_message_in_the_stream_is_refused() -> None:
    broken = bytearray(on_stream(MESSAGE))
    broken[23] = 0xFF
    with pytest.raises(MalformedMessage, match="attribute length"):
        read(bytes(broken))


def test_bytes_are_taken_even_before_anybody_looks_at_the_frames() -> None:
    reader = FrameReader()
    reader.feed(STREAM[:10])
    assert reader.pending == 10
    assert list(reader.feed(STREAM[10:])) == FRAMES
