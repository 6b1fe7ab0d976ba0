"""Signed messages: taken in order, from the other one, unchanged; anything else is noticed."""

from __future__ import annotations

import pytest

from natkit.errors import AuthenticationFailed
from natkit.rendezvous.seal import Seal, Side

KEY = bytes(range(32))


def pair() -> tuple[Seal, Seal]:
    return Seal(KEY, Side.HOST), Seal(KEY, Side.GUEST)


def test_messages_are_read_in_order():
    host, guest = pair()
    said = [host.close("one"), host.close("two, with spaces"), host.close("")]
    assert [guest.open(message) for message in said] == ["one", "two, with spaces", ""]


def test_both_sides_count_for_themselves():
    host, guest = pair()
    assert guest.open(host.close("a")) == "a"
    assert host.open(guest.close("b")) == "b"


def forgeries() -> dict[str, str]:
    host, guest = pair()
    first, second = host.close("one"), host.close("two")
    digest, _, _ = first.partition(" ")
    return {
        "changed": f"{digest} another",
        "another sum": f"{'0' * 64} one",
        "no sum": "one",
        "empty": "",
        "left one out": second,
        "sent back to its sender": guest.close("one"),
        "of another key": Seal(bytes(32), Side.HOST).close("one"),
        "not ASCII": "é one",
    }


@pytest.mark.parametrize("how", forgeries())
def test_a_message_that_is_not_the_peers_next_is_noticed(how: str):
    _, guest = pair()
    with pytest.raises(AuthenticationFailed, match="knows the code"):
        guest.open(forgeries()[how])


def test_a_message_is_taken_once():
    host, guest = pair()
    message = host.close("one")
    guest.open(message)
    with pytest.raises(AuthenticationFailed):
        guest.open(message)


def test_passwords_need_the_key_and_differ_by_name():
    host, guest = pair()
    assert host.password("abcd") == guest.password("abcd") != host.password("abce")
    assert Seal(bytes(32), Side.HOST).password("abcd") != host.password("abcd")
