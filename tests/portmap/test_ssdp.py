"""SSDP: the search for a UPnP gateway, and its answer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.portmap.ssdp import Found, SearchGateway, is_at

ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"CACHE-CONTROL: max-age=120\r\n"
    b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"SERVER: Router/1.0 UPnP/1.1\r\n"
    b"Location:http://192.168.1.1:5000/root.xml\r\n"
    b"\r\n"
)


def test_the_search_is_an_http_request_that_ends_in_an_empty_line() -> None:
    text = SearchGateway().encode().decode()
    assert text.startswith("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n")
    assert text.endswith("\r\n\r\n")


def test_the_answer_says_where_the_description_is() -> None:
    expected = Found("http://192.168.1.1:5000/root.xml", "Router/1.0 UPnP/1.1")
    assert SearchGateway().answer(ANSWER) == expected


def test_a_version_2_gateway_is_one_too() -> None:
    assert SearchGateway().answer(ANSWER.replace(b"Device:1", b"Device:2")) is not None


def test_a_media_server_is_no_gateway() -> None:
    other = ANSWER.replace(b"InternetGatewayDevice", b"MediaServer")
    assert SearchGateway().answer(other) is None


@pytest.mark.parametrize(
    "location", [b"", b"file:///etc/passwd", b"https://192.168.1.1/", b"http://[", b"root.xml"]
)
def test_a_location_that_is_no_http_url_is_malformed(location: bytes) -> None:
    with pytest.raises(MalformedMessage, match="LOCATION"):
        SearchGateway().answer(ANSWER.replace(b"http://192.168.1.1:5000/root.xml", location))


@pytest.mark.parametrize(
    "data", [b"", b"NOTIFY * HTTP/1.1\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", bytes(3000)]
)
def test_what_is_no_answer_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        SearchGateway().answer(data)


@given(st.binary(max_size=300))
def test_only_malformed_message_escapes(junk: bytes) -> None:
    for data in (junk, ANSWER[:-2] + junk, ANSWER.replace(b"192.168.1.1:5000", junk)):
        with suppress(MalformedMessage):
            SearchGateway().answer(data)


def test_a_description_somewhere_else_is_noticed() -> None:
    assert is_at("http://192.168.1.1:5000/root.xml", "192.168.1.1")
    assert not is_at("http://192.168.1.1.example.org/", "192.168.1.1")
    assert not is_at("http://10.0.0.1/", "192.168.1.1")
