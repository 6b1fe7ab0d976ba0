"""Packets on a stream, each behind its length (RFC 4571)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.wire.packets import LARGEST, PacketReader, framed


@given(st.lists(st.binary(max_size=40)), st.integers(1, 7))
def test_packets_survive_the_stream_however_it_is_cut(packets: list[bytes], step: int):
    stream = b"".join(map(framed, packets))
    reader, out = PacketReader(), []
    for at in range(0, len(stream), step):
        out += reader.feed(stream[at : at + step])
    assert out == packets


def test_length_is_16_bits_in_network_order():
    assert framed(b"ab") == b"\x00\x02ab"
    assert len(framed(bytes(LARGEST))) == LARGEST + 2


def test_packet_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="65536 bytes"):
        framed(bytes(LARGEST + 1))
