"""`calto serve` from its start to its end, as a process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from calto_demo.cli import COMMANDS, main
from calto_demo.server import command as serving
from calto_demo.server.command import serve
from calto_demo.server.running import running
from natkit import NetworkUnreachable, UsageError, cli_settings
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
    ("options", "code", "what"),
    [
        (["--listen", "here"], 2, "cannot listen on 'here'"),
        (["--listen", "203.0.113.77:1"], 3, "cannot listen on 203.0.113.77, port 1"),
        (["--database", "mysql://h/x"], 2, "is no database that Calto knows"),
        (["--database", "postgresql://u:p@127.0.0.1:1/x"], 3, "cannot use the database"),
        (["--redis", "foo"], 2, "--redis 'foo' is no URL"),
        (["--redis", "http://:hunter2@x"], 2, "--redis 'http://x' is no URL"),
        (["--redis", "redis://:hunter2@127.0.0.1:1/0"], 3, "Redis at 'redis://127.0.0.1:1/0'"),
        (["--tls", "nothing.pem"], 2, "--tls nothing.pem is no file"),
        (["--tls", __file__], 2, "private key with --tls-key"),
        (["--drain-time", "nan"], 2, "--drain-time"),
        (["--drain-time", "-5"], 2, "--drain-time"),
        (["--secret", "short"], 2, "the secret is too short"),
        (["--no-guests"], 2, "nobody could sign in"),
        (["--oidc-client-id", "calto"], 2, "go together"),
        (["--oidc-client-secret", "hush"], 2, "go together"),
        (
            ["--oidc-client-id", "x", "--oidc-client-secret", "y", "--oidc-issuer", "google"],
            2,
            "--oidc-issuer 'google' is no URL",
        ),
    ],
)
def test_what_cannot_work_is_told_with_what_to_write(tmp_path: Path, options, code: int, what: str):
    given = ["--listen", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path}/calto.db", *options]
    done = CliRunner().invoke(main, ["serve", *given])
    assert done.exit_code == code
    assert what in done.stderr
    assert "hunter2" not in done.stderr
    assert "hint: " in done.stderr or done.stderr.count(": ") > 1  # or why


@pytest.mark.parametrize("option", ["--listen", "--turn-port"])
def test_a_port_that_is_taken_has_the_exit_code_of_the_network(tmp_path: Path, option: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        value = f"127.0.0.1:{port}" if option == "--listen" else str(port)
        given = {"--listen": "127.0.0.1:0", "--turn-port": "0", option: value}
        words = [word for pair in given.items() for word in pair]
        words += ["--database", f"sqlite:///{tmp_path}/calto.db"]
        done = CliRunner().invoke(main, ["serve", *words])
    assert done.exit_code == NetworkUnreachable.exit_code
    assert f"{port}" in done.stderr
    assert "hint: " in done.stderr


def settings_of(tmp_path: Path, *words: str):
    """Return what `calto serve` makes of its options and variables."""
    with serve.make_context("serve", list(words), **cli_settings("calto_serve")) as context:
        given = {name: value for name, value in context.params.items() if name != "log_format"}
        return serving._settings(tmp_path, **given)


def test_secrets_come_from_variables_that_no_process_list_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CALTO_SERVE_SECRET", "s" * 32)
    monkeypatch.setenv("CALTO_SERVE_TURN_SECRET", "t" * 32)
    monkeypatch.setenv("CALTO_SERVE_DATABASE", "postgresql://u:p@h/x")
    settings = settings_of(tmp_path, "--turn-uri", "turn:h")
    assert (settings.secret, settings.turn_secret) == ("s" * 32, "t" * 32)
    assert settings.database == "postgresql://u:p@h/x"
    help_page = CliRunner().invoke(main, ["serve", "--help"]).output
    for name in ("CALTO_SERVE_SECRET", "CALTO_SERVE_TURN_SECRET", "CALTO_SERVE_OIDC_CLIENT_SECRET"):
        assert name in "".join(help_page.split())


async def test_the_page_is_told_how_one_signs_in_and_what_the_server_is_called(tmp_path: Path):
    settings = settings_of(
        tmp_path,
        *("--listen", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path}/calto.db", "--no-echo"),
        *("--no-guests", "--oidc-client-id", "calto", "--oidc-client-secret", "hush"),
        *("--oidc-name", "Local", "--external-url", "https://calto.example.org"),
        *("--turn-uri", "turn:{host}:3478", "--turn-secret", "t" * 32),
    )
    async with running(settings) as server, api(server.url) as web:
        ways = (await web.get("/api/server"))["sign_in"]
        assert ways == {"guest": False, "oidc": {"name": "Local", "url": "/auth/login"}}
        assert (await web.ask("POST", "/api/guest", json={"name": "Ada"})).status_code == 404
        services = server.services
        ada = await services.people.account("https://idp.example", "ada", "Ada", now=0)
        token, _ = await services.sign_in(ada.id, "")
        given = await web.get("/api/ice", token)
        assert given["iceServers"][1]["urls"] == ["turn:calto.example.org:3478"]


def test_a_bug_shows_where_it_is_to_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(serving, "_settings", lambda *_, **__: broken())
    done = CliRunner().invoke(main, ["serve"])
    assert (done.exit_code, "--traceback" in done.stderr) == (1, True)
    done = CliRunner().invoke(main, ["serve", "--traceback"])
    assert "Traceback" in done.stderr
    assert "in broken" in done.stderr


@slow
async def test_pages_of_other_sites_fill_no_log(tmp_path: Path):
    with served(tmp_path) as server:
        address = server.url.replace("http", "ws", 1) + "/ws"
        for _ in range(3):
            headers = {"Origin": "https://evil.example"}
            with pytest.raises(InvalidStatus):
                await connect(address, additional_headers=headers, proxy=None)
        assert server.log.read_text() == ""


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
        # Beside them the echo may warn: SDP of tests is none that it could answer.
        lines = [line for line in lines if line["level"] == "info"]
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
