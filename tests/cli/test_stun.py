"""`natkit stun`: what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from natkit.cli.main import main
from tests.ports import free_port


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["stun", *words])


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `natkit stun serve` until the block ends; gives the process and its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "natkit", "stun", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """HOST:PORT of an RFC 5780 server."""
    address = f"127.0.0.1:{free_port()}"
    with serving("--listen", address, "--rfc5780"):
        yield address


def test_query_shows_the_mapped_address_first(server: str) -> None:
    result = run("query", server)
    assert result.exit_code == 0, result.output
    first, *_ = result.stdout.splitlines()
    assert re.fullmatch(r"mapped: +127\.0\.0\.1:\d+ \(no NAT\)", first)
    assert f"{server} (stun:{server})" in result.stdout


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_query_json_is_one_document_with_its_schema(server: str, transport: str) -> None:
    result = run("query", f"stun:{server}?transport={transport}", "-4", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "natkit.stun.query/1"
    assert document["transport"] == transport
    assert document["mapped"] == document["local"]
    assert document["round_trip_ms"] > 0


def test_query_nobody_ends_with_3(server: str) -> None:
    host, _, port = server.partition(":")
    result = run("query", f"{host}:{int(port) + 2}", "--timeout", "200ms")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert re.search("nobody listens on|no answer from", result.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("query", "http://example.org"),
        ("query", "stun:127.0.0.1", "-6"),
        ("query", "stun:127.0.0.1", "-4", "-6"),
        ("query", "stun:127.0.0.1", "--timeout", "soon"),
        ("serve", "--listen", "example.org"),
        ("serve", "--listen", "127.0.0.1", "--alternate-port", "3479"),
        ("serve", "--listen", "127.0.0.1", "--tls-key", __file__),
        ("serve", "--listen", "127.0.0.1", "--tls-cert", __file__),
        ("serve", "--listen", "127.0.0.1", "--rfc5780", "--alternate-port", "3478"),
    ],
    ids=" ".join,
)
def test_senseless_command_line_ends_with_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")


def test_error_is_json_where_json_was_asked_for() -> None:
    result = run("query", "turn:example.org", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["what"] == "'turn:example.org' is not a STUN URI"


def test_address_in_use_ends_with_3(server: str) -> None:
    result = run("serve", "--listen", server)
    assert result.exit_code == 3
    assert f"cannot use the local address {server}" in result.stderr


def test_ready_line_lists_every_transport_and_address() -> None:
    port = free_port()
    with serving(
        "--listen", f"127.0.0.1:{port}", "--rfc5780", "--alternate-port", f"{port + 1}"
    ) as (
        _,
        line,
    ):
        expected = [f"{kind} 127.0.0.1:{p}" for kind in ("udp", "tcp") for p in (port, port + 1)]
        assert line == f"ready: {', '.join(expected)}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with serving("--listen", f"127.0.0.1:{free_port()}") as (process, line):
        assert line.startswith("ready: udp ")
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_query_over_tls_believes_the_given_authority_only(tmp_path: Path) -> None:
    authority = trustme.CA()
    cert, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(cert))
    authority.cert_pem.write_to_path(str(ca))
    port = free_port()
    where = ("--listen", f"127.0.0.1:{port}", "--tls-port", f"{port + 1}")
    with serving(*where, "--tls-cert", str(cert)) as (_, line):
        assert line.endswith(f"tls 127.0.0.1:{port + 1}\n")
        uri = f"stuns:localhost:{port + 1}"
        assert run("query", uri, "-4", "--ca-file", str(ca)).exit_code == 0
        assert run("query", uri, "-4", "--insecure").exit_code == 0
        distrusted = run("query", uri, "-4")
        assert distrusted.exit_code == 3
        assert "certificate verify failed" in distrusted.stderr


def test_tls_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    port = free_port()
    where = ("--listen", f"127.0.0.1:{port}", "--tls-port", f"{port + 1}")
    with serving(*where, "--tls-cert", str(cert), "--tls-key", str(key)) as (_, line):
        assert "tls 127.0.0.1" in line
