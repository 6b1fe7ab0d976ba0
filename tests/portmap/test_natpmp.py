"""NAT-PMP on the wire (RFC 6886)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.portmap import natpmp
from natkit.portmap.natpmp import AskExternalAddress, ExternalAddress, ResultCode
from natkit.portmap.pcp import VersionRefused

ANSWER = bytes.fromhex("00800000 00000007 2c000007")


def test_the_question_is_two_zero_bytes() -> None:
    assert AskExternalAddress().encode() == b"\0\0"


def test_the_answer_names_the_external_address() -> None:
    assert AskExternalAddress().answer(ANSWER) == ExternalAddress(0, 7, "44.0.0.7")


@pytest.mark.parametrize("size", [8, 12])
def test_an_error_carries_no_address_in_either_length(size: int) -> None:
    data = bytes.fromhex("00800003 00000007 00000000")[:size]
    expected = ExternalAddress(ResultCode.NETWORK_FAILURE, 7, None)
    assert AskExternalAddress().answer(data) == expected


def test_a_pcp_server_that_knows_no_nat_pmp_offers_its_version() -> None:
    refusal = bytes.fromhex("02800001") + bytes(20)
    assert AskExternalAddress().answer(refusal) == VersionRefused(offered=2)


def test_a_reply_to_a_mapping_request_is_not_ours() -> None:
    assert AskExternalAddress().answer(bytes.fromhex("00810000") + bytes(12)) is None


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "version"),
        (b"\0\0\0\0", "opcode"),
        (ANSWER[:11], "external address"),
        (ANSWER[:7], "epoch"),
        (b"\x02" + ANSWER[1:], "version"),
    ],
    ids=["empty", "a request", "cut off", "no epoch", "version"],
)
def test_nonsense_is_malformed(data: bytes, where: str) -> None:
    with pytest.raises(MalformedMessage, match=where):
        natpmp.decode_reply(data)


@given(st.binary(max_size=20))
def test_only_malformed_message_escapes(data: bytes) -> None:
    with suppress(MalformedMessage):
        natpmp.decode_reply(data)


def test_an_unknown_result_is_named_by_its_number() -> None:
    assert natpmp.result_name(3) == "NETWORK_FAILURE"
    assert natpmp.result_name(9) == "result 9"
