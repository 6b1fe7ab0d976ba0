"""Security features in the nonce."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.wire import SecurityFeatures, features_of, nonce_with_features


@given(st.integers(0, 2**24 - 1), st.text(max_size=20))
def test_features_survive_the_nonce(bits: int, own: str) -> None:
    nonce = nonce_with_features(SecurityFeatures(bits), own)
    assert features_of(nonce) == SecurityFeatures(bits)
    assert nonce.endswith(own)
    assert base64.b64decode(nonce[9:13]) == bits.to_bytes(3, "big")


def test_nonce_of_rfc8489_b1_announces_username_anonymity() -> None:
    features = features_of("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
    assert features == SecurityFeatures.USERNAME_ANONYMITY


@pytest.mark.parametrize(
    "nonce", ["", "obMatJos2", "obMatJos2AAA", "obMatJos2AA*A", "obMatJos1AAAC", "f//499k954d6OL34"]
)
def test_nonce_without_the_cookie_announces_nothing(nonce: str) -> None:
    assert features_of(nonce) is None


def test_cookie_with_no_bit_set_differs_from_no_cookie() -> None:
    assert features_of("obMatJos2AAAA") == SecurityFeatures.NONE
