"""TURN URIs: what they are, and the transports they stand for."""

from __future__ import annotations

import pytest

from natkit.errors import UsageError
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport

UDP, TCP, TLS, DTLS = Transport


@pytest.mark.parametrize(
    ("text", "host", "transports", "ports"),
    [
        ("turn:example.org", "example.org", (UDP, TCP), (3478, 3478)),
        ("example.org", "example.org", (UDP, TCP), (3478, 3478)),
        ("example.org:99", "example.org", (UDP, TCP), (99, 99)),
        ("turn:example.org?transport=udp", "example.org", (UDP,), (3478,)),
        ("turn:example.org:80?transport=tcp", "example.org", (TCP,), (80,)),
        ("TURNS:example.org", "example.org", (TLS,), (5349,)),
        ("turns:example.org:443?transport=TCP", "example.org", (TLS,), (443,)),
        ("turns:example.org?transport=udp", "example.org", (DTLS,), (5349,)),
        ("turn:[2001:db8::1]:80", "2001:db8::1", (UDP, TCP), (80, 80)),
        (" turn:192.0.2.1 ", "192.0.2.1", (UDP, TCP), (3478, 3478)),
    ],
)
def test_uri_stands_for_its_transports_and_ports(
    text: str, host: str, transports: tuple[Transport, ...], ports: tuple[int, ...]
) -> None:
    uri = TurnUri.parse(text)
    assert uri.host == host
    assert uri.transports == transports
    assert tuple(uri.port_for(transport) for transport in transports) == ports


@pytest.mark.parametrize(
    "text",
    [
        "turn:example.org",
        "turn:[2001:db8::1]:80?transport=tcp",
        "turns:example.org:443?transport=tcp",
        "turns:example.org?transport=udp",
    ],
)
def test_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(TurnUri.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("turn://example.org", "is not a TURN URI"),
        ("stun:example.org", "is not a TURN URI"),
        ("http://example.org", "is not a TURN URI"),
        ("turn:", "is not a TURN URI"),
        ("turn:example.org:99999", "is not a TURN URI"),
        ("turn:example.org?transport=sctp", "has the transport 'sctp'"),
        ("turn:example.org?transport=", "has the transport ''"),
    ],
)
def test_what_is_no_turn_uri_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TurnUri.parse(text)
