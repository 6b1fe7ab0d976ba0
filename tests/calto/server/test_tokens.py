"""Tokens: nobody is somebody else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from calto_demo.server.tokens import LIFETIME, BadToken, Identity, Tokens

SECRET = "a secret of at least 32 characters"
TOKENS = Tokens(SECRET)
ADA = Identity("u-ada", "phone")


def test_a_token_is_good_until_it_expires_and_not_then():
    token, expires = TOKENS.mint(ADA, now=1000.0)
    assert expires == 1000.0 + LIFETIME
    assert TOKENS.read(token, now=expires - 0.1) == ADA
    with pytest.raises(BadToken) as caught:
        TOKENS.read(token, now=expires)
    assert caught.value.code == "expired-token"


def refused(token: str) -> str:
    with pytest.raises(BadToken) as caught:
        TOKENS.read(token, now=1000.0)
    return caught.value.code


def test_a_token_of_another_server_is_refused():
    token, _ = Tokens("another secret of at least 32 chars").mint(ADA, now=1000.0)
    assert refused(token) == "bad-token"


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS512"}])
def test_a_token_that_chooses_its_own_algorithm_is_refused(header: dict[str, str]):
    token, _ = TOKENS.mint(ADA, now=1000.0)
    _, claims, signature = token.split(".")
    named = urlsafe_b64encode(str(header).replace("'", '"').encode()).rstrip(b"=").decode()
    assert refused(f"{named}.{claims}.{signature}") == "bad-token"
    assert refused(f"{named}.{claims}.") == "bad-token"


def test_a_token_whose_user_was_changed_is_refused():
    token, _ = TOKENS.mint(ADA, now=1000.0)
    head, claims, signature = token.split(".")
    changed = urlsafe_b64decode(claims + "==").replace(b"u-ada", b"u-bob")
    forged = urlsafe_b64encode(changed).rstrip(b"=").decode()
    assert refused(f"{head}.{forged}.{signature}") == "bad-token"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another", "sub": "u-ada", "dev": "x", "exp": 2000},
        {"iss": "calto", "sub": 7, "dev": "x", "exp": 2000},
        {"iss": "calto", "sub": "u-ada", "dev": "x"},
        {"iss": "calto", "sub": "u-ada", "exp": 2000},
    ],
)
def test_a_token_signed_with_our_secret_for_something_else_is_refused(claims):
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
    assert refused(token) == "bad-token"


@given(st.text(max_size=200) | st.lists(st.text(max_size=40), max_size=5).map(".".join))
def test_no_text_does_more_than_to_be_refused(text: str):
    assert refused(text) == "bad-token"
