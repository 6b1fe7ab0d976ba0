"""`calto serve` from its start to its end, as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from calto_demo.cli import COMMANDS, main
from natkit import UsageError
from tests.calto.clients import Tab, api
from tests.calto.served import command, served

slow = pytest.mark.slow


def test_every_command_of_the_table_has_help():
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0, listed.output
    for name in COMMANDS:
        assert name in listed.output
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
    assert CliRunner().invoke(main, ["teleport"]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--listen", "here"], "cannot listen on 'here'"),
        (["--listen", "203.0.113.77:1"], "cannot listen on 203.0.113.77, port 1"),
        (["--database", "mysql://h/x"], "is no database that Calto knows"),
        (["--redis", "http://x"], "--redis is no URL"),
        (["--redis", "redis://127.0.0.1:1/0"], "cannot use Redis"),
        (["--tls", "nothing.pem"], "--tls nothing.pem is no file"),
        (["--tls", __file__], "private key with --tls-key"),
        (["--drain-time", "nan"], "--drain-time"),
        (["--drain-time", "-5"], "--drain-time"),
        (["--secret", "short"], "the secret is too short"),
    ],
)
def test_what_cannot_work_is_told_with_what_to_write(tmp_path: Path, options, what: str):
    given = ["--listen", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path}/calto.db", *options]
    done = CliRunner().invoke(main, ["serve", *given])
    assert done.exit_code in (UsageError.exit_code, 3)
    assert what in done.stderr
    assert "hint: " in done.stderr or done.stderr.count(": ") > 1  # or why


@slow
def test_an_error_ends_the_process_with_its_code_and_no_trace(tmp_path: Path):
    words = command("--listen", "here")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == UsageError.exit_code
    assert done.stderr == ("error: cannot listen on 'here'\nhint: Write IP:PORT, as 0.0.0.0:8000\n")


@slow
async def test_a_server_says_where_it_is_and_ends_when_it_is_told_to(tmp_path: Path):
    with served(tmp_path, "--log-format", "json") as server:
        async with api(server.url) as web:
            assert (await web.ask("GET", "/readyz")).status_code == 200
            ada = Tab(server.url, *await web.guest("Ada"))
            await ada.open()
            call = await ada.ring("u-echo")
            await ada.send("hangup", call)
            await ada.expect("ended", call=call)
            server.process.send_signal(signal.SIGTERM)
            assert (await ada.closed())[0] in (1001, 1012)
        assert server.process.wait(20) == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        said = [line["what"] for line in lines]
        assert said == ["call begins", "call ended", "draining", "stopped"]
        assert {line["call"] for line in lines[:2]} == {call}


@slow
async def test_a_user_is_signed_in_after_the_server_was_started_again(tmp_path: Path):
    with served(tmp_path) as server:
        async with api(server.url) as web:
            user, token = await web.guest("Ada")
    with served(tmp_path) as server:
        async with api(server.url) as web:
            assert (await web.get("/api/me", token))["id"] == user


@slow
def test_a_certificate_is_made_for_whoever_asks_for_one(tmp_path: Path):
    with served(tmp_path, "--tls", "self-signed") as server:
        assert server.url.startswith("https://")
        code = (
            "import ssl, sys, urllib.request as r;"
            "c = ssl.create_default_context(); c.check_hostname = False;"
            "c.verify_mode = ssl.CERT_NONE;"
            "print(r.urlopen(sys.argv[1], context=c).status)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, f"{server.url}/healthz"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "200\n"
