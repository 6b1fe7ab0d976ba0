"""Addresses as values."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire import TransportAddress
from natkit.wire.address import ip_bytes, ip_text


@given(st.ip_addresses())
def test_ip_survives_its_bytes(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert ip_text(ip.packed) == str(ip)
    assert ip_bytes(str(ip)) == ip.packed


def test_scope_is_left_out_of_the_bytes() -> None:
    assert ip_bytes("fe80::1%eth0") == ip_bytes("fe80::1")


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.256", "2001:db8::g", "name"])
def test_text_that_is_no_ip_has_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        ip_bytes(text)


@pytest.mark.parametrize("size", [0, 3, 5, 15, 17])
def test_ip_of_another_size_is_malformed(size: int) -> None:
    with pytest.raises(MalformedMessage, match="address"):
        ip_text(bytes(size))


def test_address_prints_as_one_would_type_it() -> None:
    assert str(TransportAddress("192.0.2.1", 3478)) == "192.0.2.1:3478"
    assert str(TransportAddress("2001:db8::1", 3478)) == "[2001:db8::1]:3478"


def test_address_knows_its_family() -> None:
    assert TransportAddress("2001:db8::1", 1).is_ipv6
    assert not TransportAddress("192.0.2.1", 1).is_ipv6
