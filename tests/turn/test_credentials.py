"""Who may relay: REST names, several secrets, prepared texts; and what nonces are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.turn.credentials import (
    Credentials,
    prepared,
    rest_expiry,
    rest_password,
    rest_username,
)
from natkit.turn.nonce import Nonces
from natkit.wire import SecurityFeatures, user_hash
from tests.turn.desk import DATA_TCP, OTHER, TCP, UDP

REST = Credentials({"alice": "secret", "7:bob": "hush"}, ("key",))


def test_rest_password_is_the_base64_of_an_hmac_sha1() -> None:
    # printf 1500000000:ninefingers | openssl dgst -sha1 -hmac north -binary | base64
    assert rest_password("north", "1500000000:ninefingers") == "C64Lp4fyN0aDzz6NoINUek8sLOM="


@pytest.mark.parametrize(("user", "name"), [("carol", "9:carol"), ("", "9"), ("a:b", "9:a:b")])
def test_rest_name_begins_with_its_expiry(user: str, name: str) -> None:
    assert rest_username(user, expires=9) == name
    assert rest_expiry(name) == 9
    assert REST.account(name) == user


@pytest.mark.parametrize("name", ["", "carol", ":9", "-9:carol", "9.5:carol", "٩:carol", "9" * 13])
def test_other_names_are_no_rest_names(name: str) -> None:
    assert rest_expiry(name) is None
    assert REST.candidates(name, unix_time=0).passwords == ()


def test_rest_names_mean_nothing_without_a_secret() -> None:
    plain = Credentials({"alice": "secret"})
    assert plain.candidates("9:carol", unix_time=0).why == "unknown user"
    assert plain.account("9:carol") == "9:carol"


def test_static_user_whose_name_looks_like_one_of_rest_is_a_static_user() -> None:
    assert REST.candidates("7:bob", unix_time=1e9).passwords == ("hush",)
    assert REST.account("7:bob") == "7:bob"


def test_credentials_do_not_show_what_they_hold() -> None:
    assert "secret" not in repr(REST).replace("secrets", "")
    assert "key" not in repr(REST)


def test_user_is_found_by_hash_in_the_realm_it_was_made_for() -> None:
    assert REST.hashes("here")[user_hash("alice", "here")] == "alice"
    assert user_hash("alice", "here") not in REST.hashes("there")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("e\u0301", "\u00e9"), ("a\u00a0b", "a b"), ("a\u3000b", "a b"), ("\uff21", "\uff21")],
)
def test_texts_are_prepared_as_opaque_strings(typed: str, meant: str) -> None:
    assert prepared(typed) == meant


def test_names_and_passwords_are_prepared_on_the_way_in() -> None:
    typed = Credentials({"rene\u0301": "a\u00a0b"})
    assert typed.candidates("ren\u00e9", unix_time=0).passwords == ("a b",)


# --- nonces

KEY = b"0123456789abcdef"
NOW = 1_800_000_000.0


def nonces(lifetime: float = 600, features: SecurityFeatures = SecurityFeatures.NONE) -> Nonces:
    return Nonces(KEY, lifetime, features)


def test_nonce_is_good_for_its_client_alone() -> None:
    nonce = nonces().mint(UDP, unix_time=NOW)
    assert nonces().accepts(nonce, UDP, unix_time=NOW)
    assert not nonces().accepts(nonce, OTHER, unix_time=NOW)
    assert not nonces().accepts(nonce, UDP._replace(transport=TCP.transport), unix_time=NOW)


def test_nonce_of_a_stream_is_good_on_another_stream_of_the_same_ip() -> None:
    nonce = nonces().mint(TCP, unix_time=NOW)
    assert nonces().accepts(nonce, DATA_TCP, unix_time=NOW)
    assert not nonces().accepts(nonce, TCP._replace(client=OTHER.client), unix_time=NOW)


def test_nonce_of_who_is_sent_on_is_good_from_every_port_of_its_ip() -> None:
    nonce = nonces().mint(UDP, unix_time=NOW, from_any_port=True)
    behind_the_nat = UDP.client._replace(port=UDP.client.port + 1)
    assert nonces().accepts(nonce, UDP, unix_time=NOW)
    assert nonces().accepts(nonce, UDP._replace(client=behind_the_nat), unix_time=NOW)
    assert not nonces().accepts(nonce, OTHER, unix_time=NOW)
    assert not nonces().accepts(nonce, UDP._replace(transport=TCP.transport), unix_time=NOW)


def test_nonce_is_good_at_another_server_of_the_fleet() -> None:
    nonce = nonces().mint(UDP, unix_time=NOW)
    assert nonces().accepts(nonce, UDP._replace(server=OTHER.client), unix_time=NOW)


@pytest.mark.parametrize(("later", "good"), [(0, True), (599.9, True), (600, False)])
def test_nonce_ends_at_its_lifetime(later: float, good: bool) -> None:
    nonce = nonces().mint(UDP, unix_time=NOW)
    assert nonces().accepts(nonce, UDP, unix_time=NOW + later) is good


@pytest.mark.parametrize(("ahead", "good"), [(60, True), (61, False)])
def test_nonce_from_a_clock_that_is_ahead_is_good_for_a_minute(ahead: int, good: bool) -> None:
    nonce = nonces().mint(UDP, unix_time=NOW + ahead)
    assert nonces().accepts(nonce, UDP, unix_time=NOW) is good


def test_nonce_made_before_the_features_changed_is_stale() -> None:
    nonce = nonces().mint(UDP, unix_time=NOW)
    other = nonces(features=SecurityFeatures.PASSWORD_ALGORITHMS)
    assert not other.accepts(nonce, UDP, unix_time=NOW)


def test_every_character_of_a_nonce_counts() -> None:
    nonce = nonces().mint(UDP, unix_time=NOW)
    for place in range(len(nonce)):
        other = "A" if nonce[place] != "A" else "B"
        changed = nonce[:place] + other + nonce[place + 1 :]
        assert not nonces().accepts(changed, UDP, unix_time=NOW)


@given(st.text())
def test_no_text_is_a_nonce(text: str) -> None:
    assert not nonces().accepts(text, UDP, unix_time=NOW)
    assert not nonces().accepts("obMatJos2AAAA" + text, UDP, unix_time=NOW)
