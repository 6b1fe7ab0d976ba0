"""Durations and hosts as people type them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from natkit.cli.params import DURATION, NEW_FILE, HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        (".5", 0.5),
        ("3", 3.0),
        (" 2M ", 120.0),
        (3, 3.0),
    ],
)
def test_a_length_of_time_becomes_seconds(text: str | int, seconds: float):
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 day", "0s", "0", "1e3", "٣s", "1s2s", "nan"])
def test_anything_else_is_no_length_of_time(text: str):
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("stun.example.org", "stun.example.org", None),
        ("stun.example.org:3478", "stun.example.org", 3478),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("[fe80::1%eth0]:3478", "fe80::1%eth0", 3478),
    ],
)
def test_a_host_and_its_port_are_told_apart(text: str, host: str, port: int | None):
    assert parse_host_port(text) == HostPort(host, port)
    assert parse_host_port(str(HostPort(host, port))) == HostPort(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":3478", "host:", "host:0", "host:65536", "host:x", "host:1:2", "ho st"),
        *("[2001:db8::1", "[nonsense]:1", "[2001:db8::1]x", "stun://host", "user@host", "host:²"),
    ],
)
def test_anything_else_is_no_host(text: str):
    with pytest.raises(ValueError, match=r"is not|has"):
        parse_host_port(text)


def test_a_file_to_be_written_may_be_there_or_not(tmp_path: Path):
    for name in ("new", "old"):
        assert NEW_FILE.convert(str(tmp_path / name), None, None) == tmp_path / name
        (tmp_path / "old").write_text("what was there before")


@pytest.mark.parametrize(
    ("name", "why"), [(".", "is a folder"), ("none/such", "there is no folder")]
)
def test_what_cannot_be_written_is_refused_before_anything_else(
    tmp_path: Path, name: str, why: str
):
    with pytest.raises(click.BadParameter, match=why):
        NEW_FILE.convert(str(tmp_path / name), None, None)
