"""The reader never passes the end, and says where it stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire.cursor import Cursor, unpack_all

RFC = "RFC 0 §0"

READS: list[Callable[[Cursor], object]] = [
    lambda cursor: cursor.u8("here"),
    lambda cursor: cursor.u16("here"),
    lambda cursor: cursor.u32("here"),
    lambda cursor: cursor.take(3, "here"),
    lambda cursor: cursor.unpack(Struct("!BH"), "here"),
    lambda cursor: cursor.text("here"),
    lambda cursor: cursor.end("here"),
]


def test_numbers_are_big_endian_and_in_order() -> None:
    cursor = Cursor(bytes(range(1, 8)), RFC)
    assert cursor.u8("a") == 0x01
    assert cursor.u16("b") == 0x0203
    assert cursor.u32("c") == 0x04050607
    assert cursor.left == 0
    cursor.end("all")


@given(data=st.binary(max_size=20), reads=st.lists(st.sampled_from(READS), max_size=8))
def test_any_reads_over_any_bytes_stay_inside(
    data: bytes, reads: list[Callable[[Cursor], object]]
) -> None:
    cursor = Cursor(data, RFC)
    for read in reads:
        before = cursor.left
        with contextlib.suppress(MalformedMessage):
            read(cursor)
        assert 0 <= cursor.left <= before


def test_short_read_names_field_clause_and_sizes() -> None:
    with pytest.raises(MalformedMessage, match=r"needs 4 bytes, 3 left \(RFC 0 §0\)") as caught:
        Cursor(b"abc", RFC).u32("lifetime")
    assert caught.value.where == "lifetime"


def test_rest_may_be_empty_and_is_taken_once() -> None:
    cursor = Cursor(b"abc", RFC)
    assert cursor.rest() == b"abc"
    assert cursor.rest() == b""


def test_text_that_is_not_utf8_is_malformed() -> None:
    assert Cursor("ü".encode(), RFC).text("name") == "ü"
    with pytest.raises(MalformedMessage, match="not UTF-8"):
        Cursor(b"\xfc", RFC).text("name")


def test_bytes_behind_the_end_are_malformed() -> None:
    with pytest.raises(MalformedMessage, match="1 bytes too many"):
        Cursor(b"a", RFC).end("value")


@pytest.mark.parametrize("size", [0, 3, 5])
def test_value_of_another_size_is_malformed(size: int) -> None:
    with pytest.raises(MalformedMessage, match=f"{size} bytes, not 4"):
        unpack_all(Struct("!I"), bytes(size), "lifetime", RFC)
