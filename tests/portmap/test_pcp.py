"""PCP on the wire (RFC 6887)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.portmap import pcp
from natkit.portmap.pcp import ANY_IPV4, Announce, Map, Mapping, Reply, ResultCode, VersionRefused
from natkit.wire import TransportAddress

NONCE = bytes(range(12))
MAPPING = Mapping(NONCE, pcp.Protocol.UDP, 40000, ANY_IPV4)
REQUEST = Map("192.168.1.2", 120, MAPPING)


def reply(opcode: int = 1, result: int = 0, body: bytes = b"", version: int = 2) -> bytes:
    header = bytes([version, 0x80 | opcode, 0, result])
    return header + (60).to_bytes(4, "big") + (7).to_bytes(4, "big") + bytes(12) + body


def test_announce_is_a_bare_header_with_the_client_as_a_mapped_address() -> None:
    assert Announce("192.168.1.2").encode().hex(" ", 4) == (
        "02000000 00000000 00000000 00000000 0000ffff c0a80102"
    )


def test_an_ipv6_client_stands_as_it_is() -> None:
    assert Announce("2001:db8::2").encode()[8:].hex() == "20010db8000000000000000000000002"


def test_map_request_byte_for_byte() -> None:
    assert REQUEST.encode().hex(" ", 4) == (
        "02010000 00000078 00000000 00000000 0000ffff c0a80102 "
        "00010203 04050607 08090a0b 11000000 9c400000 "
        "00000000 00000000 0000ffff 00000000"
    )


def test_map_reply_names_the_external_address() -> None:
    assigned = Mapping(NONCE, pcp.Protocol.UDP, 40000, TransportAddress("44.0.0.7", 40001))
    answer = REQUEST.answer(reply(body=assigned.encode()))
    assert answer == Reply(pcp.Opcode.MAP, ResultCode.SUCCESS, 60, 7, assigned)


def test_an_ipv6_external_address_stays_one() -> None:
    assigned = Mapping(NONCE, pcp.Protocol.UDP, 40000, TransportAddress("2001:db8::7", 40001))
    answer = REQUEST.answer(reply(body=assigned.encode()))
    assert isinstance(answer, Reply)
    assert answer.mapping == assigned


@pytest.mark.parametrize(
    "other",
    [
        Mapping(bytes(12), pcp.Protocol.UDP, 40000, ANY_IPV4),
        Mapping(NONCE, pcp.Protocol.TCP, 40000, ANY_IPV4),
        Mapping(NONCE, pcp.Protocol.UDP, 40001, ANY_IPV4),
    ],
    ids=["nonce", "protocol", "internal port"],
)
def test_a_reply_about_another_mapping_is_not_ours(other: Mapping) -> None:
    assert REQUEST.answer(reply(body=other.encode())) is None


def test_a_reply_to_announce_does_not_answer_map_nor_the_other_way_round() -> None:
    assert REQUEST.answer(reply(opcode=0)) is None
    assert Announce("192.168.1.2").answer(reply(body=MAPPING.encode())) is None


def test_a_late_answer_to_the_mapping_does_not_confirm_its_deletion() -> None:
    delete = Map("192.168.1.2", 0, MAPPING)
    made = reply(body=MAPPING.encode())
    assert delete.answer(made) is None
    gone = made[:4] + bytes(4) + made[8:]
    assert delete.answer(gone) is not None


def test_an_error_may_leave_the_mapping_out() -> None:
    answer = REQUEST.answer(reply(result=ResultCode.NOT_AUTHORIZED))
    assert answer == Reply(pcp.Opcode.MAP, ResultCode.NOT_AUTHORIZED, 60, 7)


def test_success_may_not_leave_the_mapping_out() -> None:
    with pytest.raises(MalformedMessage, match="mapping nonce"):
        REQUEST.answer(reply())


def test_a_nat_pmp_server_refuses_the_version_in_eight_bytes() -> None:
    refusal = bytes.fromhex("00800001 00000007")
    assert Announce("192.168.1.2").answer(refusal) == VersionRefused(offered=0)
    assert REQUEST.answer(refusal) == VersionRefused(offered=0)


def test_a_newer_server_refuses_the_version_and_offers_its_own() -> None:
    refusal = reply(opcode=0, result=ResultCode.UNSUPP_VERSION, version=3)
    assert Announce("192.168.1.2").answer(refusal) == VersionRefused(offered=3)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "version"),
        (reply()[:23], "length"),
        (reply(body=bytes(36))[:40], "mapping nonce|protocol|reserved|port"),
        (b"\x02\x00" + reply()[2:], "opcode"),
        (reply(version=1), "version"),
        (reply(body=bytes(36) + b"x"), "length"),
        (reply(body=bytes(1080)), "length"),
    ],
    ids=["empty", "short", "cut off", "a request", "version", "not fours", "longer than 1100"],
)
def test_nonsense_is_malformed(data: bytes, where: str) -> None:
    with pytest.raises(MalformedMessage, match=where):
        pcp.decode_reply(data)


def test_options_behind_the_mapping_are_ignored() -> None:
    answer = REQUEST.answer(reply(body=MAPPING.encode() + bytes.fromhex("80000000")))
    assert isinstance(answer, Reply)
    assert answer.mapping == MAPPING


@given(st.binary(max_size=1200))
def test_only_malformed_message_escapes(data: bytes) -> None:
    with suppress(MalformedMessage):
        pcp.decode_reply(data)


@given(st.binary(max_size=80))
def test_only_malformed_message_escapes_behind_a_valid_header(body: bytes) -> None:
    with suppress(MalformedMessage):
        REQUEST.answer(reply(body=body))


def test_an_unknown_result_is_named_by_its_number() -> None:
    assert pcp.result_name(13) == "EXCESSIVE_REMOTE_PEERS"
    assert pcp.result_name(99) == "result 99"
