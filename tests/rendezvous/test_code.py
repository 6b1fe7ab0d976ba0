"""Codes: drawn, read back however they were typed, and refused with a way out."""

from __future__ import annotations

from random import Random

import pytest

from natkit.errors import UsageError
from natkit.rendezvous.code import LENGTH, Code
from natkit.rendezvous.words import WORDS


def test_list_has_the_words_that_44_bits_need():
    assert len(set(WORDS)) == 2**11
    assert LENGTH * 11 == 44


def test_four_letters_tell_every_word_from_all_others():
    assert len({word[:4] for word in WORDS}) == len(WORDS)


def test_a_drawn_code_is_read_back():
    code = Code.draw(Random(1).randbytes)
    assert Code.parse(str(code)) == code


def test_every_bit_of_a_draw_counts():
    """A code that ignored some of its 44 bits would be easier to guess than promised."""
    drawn = {Code.draw(lambda _, bit=bit: (1 << bit).to_bytes(6, "big")) for bit in range(44)}
    assert len(drawn) == 44


@pytest.mark.parametrize(
    "typed",
    [
        "ocean-pilot-velvet-hammer",
        "Ocean Pilot VELVET hammer",
        " ocea pilo velv hamm ",
        "ocean, pilot, velvet, hammer.",
        "ocea-pilo-velve-hammer",
    ],
)
def test_spelling_does_not_matter(typed: str):
    assert str(Code.parse(typed)) == "ocean-pilot-velvet-hammer"


@pytest.mark.parametrize("word", ["act", "action", "actor"])
def test_a_short_word_is_not_taken_for_a_longer_one(word: str):
    assert Code.parse(f"{word} zoo zoo zoo").words[0] == word


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("oceen-pilot-velvet-hammer", "ocean"),
        ("oceanic-pilot-velvet-hammer", "ocean"),
        ("ocean-pilot-velvet", "has 3"),
        ("ocean-pilot-velvet-hammer-zoo", "has 5"),
        ("", "has 0"),
        ("xqxq pilot velvet hammer", "once more"),
        ("1 2 3 4", "has 0"),
    ],
)
def test_what_is_no_code_is_refused_with_a_way_out(typed: str, hint: str):
    with pytest.raises(UsageError) as refused:
        Code.parse(typed)
    assert hint in str(refused.value)


def test_room_and_key_follow_from_the_code_and_from_nothing_else():
    code = Code.parse("ocean pilot velvet hammer")
    room, key = code.secrets()
    assert (room, key) == Code.parse("ocea pilo velv hamm").secrets()
    assert Code.parse("ocean pilot velvet zoo").secrets().room != room
    assert len(room) == 32
    assert len(key) == 32
    assert room not in key.hex()
