"""STUN URIs (RFC 7064) and the order of SRV records (RFC 2782)."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest

from natkit.errors import UsageError
from natkit.stun.uri import SrvRecord, StunUri, Transport, in_order

UDP, TCP, TLS = Transport


@pytest.mark.parametrize(
    ("text", "host", "port", "transport"),
    [
        ("stun:stun.example.org", "stun.example.org", None, UDP),
        ("stun:stun.example.org:19302", "stun.example.org", 19302, UDP),
        ("STUN:Stun.Example.org", "stun.example.org", None, UDP),
        ("stun:192.0.2.1", "192.0.2.1", None, UDP),
        ("stun:[2001:db8::1]:3479", "2001:db8::1", 3479, UDP),
        ("stun:example.org?transport=tcp", "example.org", None, TCP),
        ("stun:example.org:80?transport=udp", "example.org", 80, UDP),
        ("stuns:example.org", "example.org", None, TLS),
        ("stuns:example.org:443?transport=tcp", "example.org", 443, TLS),
        ("example.org", "example.org", None, UDP),
        ("example.org:3479", "example.org", 3479, UDP),
        ("2001:db8::1", "2001:db8::1", None, UDP),
        ("stun:2001:db8::1", "2001:db8::1", None, UDP),
        (" 192.0.2.1:9 ", "192.0.2.1", 9, UDP),
        ("stun:[fe80::1%eth0]", "fe80::1%eth0", None, UDP),
    ],
)
def test_uri_is_understood(text: str, host: str, port: int | None, transport: Transport) -> None:
    assert StunUri.parse(text) == StunUri(host, port, transport)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stun:",
        "stun://example.org",
        "turn:example.org",
        "http://example.org",
        "stun:example.org:0",
        "stun:example.org:65536",
        "stun:example.org:port",
        "stun:example.org?transport=sctp",
        "stuns:example.org?transport=udp",
        "stun:[example.org]",
        "stun:[1:2]",
        "stun:user@example.org",
        "stun:exa mple.org",
        "a:b:c",
    ],
)
def test_what_is_no_uri_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        StunUri.parse(text)


@pytest.mark.parametrize(
    "text",
    ["stun:example.org", "stun:[2001:db8::1]:9", "stuns:a.b:443", "stun:a:1?transport=tcp"],
)
def test_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(StunUri.parse(text)) == text


def test_defaults_follow_the_transport() -> None:
    assert [t.port for t in (UDP, TCP, TLS)] == [3478, 3478, 5349]
    assert [t.srv for t in (UDP, TCP, TLS)] == ["_stun._udp", "_stun._tcp", "_stuns._tcp"]


def test_literals_need_no_dns() -> None:
    assert StunUri.parse("stun:192.0.2.1").is_literal
    assert StunUri.parse("stun:[2001:db8::1]").is_literal
    assert not StunUri.parse("stun:example.org").is_literal


NUMBERS = count()


def counting(size: int) -> bytes:
    """Every number in turn: over many draws each lot comes up equally often."""
    return next(NUMBERS).to_bytes(size, "big")


def test_lower_priority_comes_first_whatever_the_weights() -> None:
    near, far = SrvRecord(10, 0, 3478, "near"), SrvRecord(20, 65535, 3478, "far")
    assert in_order([far, near], counting) == [near, far]


def test_weights_decide_how_often_a_record_leads() -> None:
    records = [SrvRecord(1, 3, 1, "heavy"), SrvRecord(1, 1, 2, "light"), SrvRecord(1, 0, 3, "idle")]
    leaders = Counter(in_order(records, counting)[0].target for _ in range(5 * 30))
    assert leaders["heavy"] > leaders["light"] >= leaders["idle"] > 0


def test_every_record_is_tried_once() -> None:
    records = [SrvRecord(p, w, 1, f"{p}{w}") for p in (1, 2) for w in (0, 5, 5, 9)]
    assert sorted(in_order(records, counting)) == sorted(records)
