"""ChannelData in datagrams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire import ChannelData

channels = st.integers(0x4000, 0x4FFF)


@given(channel=channels, data=st.binary(max_size=100), padded=st.booleans())
def test_channel_data_survives_the_wire(channel: int, data: bytes, padded: bool) -> None:
    packet = ChannelData(channel, data)
    encoded = packet.encode(padded=padded)
    assert len(encoded) == (-(-len(data) // 4) * 4 if padded else len(data)) + 4
    assert ChannelData.decode(encoded) == packet


def test_length_leaves_the_padding_out() -> None:
    assert ChannelData(0x4001, b"ab").encode(padded=True).hex() == "4001000261620000"
    assert ChannelData(0x4001, b"ab").encode().hex() == "400100026162"


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ("", "channel number"),
        ("4000", "length"),
        ("40000001", "application data"),
        ("3fff0000", "channel number"),
        ("80000000", "channel number"),
        ("00010000", "channel number"),
    ],
)
def test_what_is_no_channel_data_is_refused(data: str, where: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        ChannelData.decode(bytes.fromhex(data))
    assert caught.value.where == where


@pytest.mark.parametrize(
    "packet",
    [ChannelData(0x3FFF, b""), ChannelData(0x7FFF, b""), ChannelData(0x4000, bytes(2**16))],
    ids=["channel too low", "channel too high", "too long"],
)
def test_channel_data_that_does_not_fit_is_not_sent(packet: ChannelData) -> None:
    with pytest.raises(ValueError, match="channel"):
        packet.encode()
