"""`natkit turn check` and `bench`: how they read their command line, and how they end."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from natkit.cli.main import main
from natkit.cli.turn_check import given_login
from natkit.turn.client_auth import Login
from natkit.turn.credentials import rest_expiry, rest_password
from tests.ports import free_port


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["turn", *words])


def test_nobody_there_ends_with_3_and_a_mend() -> None:
    result = run("check", f"turn:127.0.0.1:{free_port()}?transport=tcp", "--timeout", "1s")
    assert result.exit_code == 3
    assert "connect   FAILED" in result.stdout
    assert "mend: Nobody listens there" in result.stdout
    assert "verdict   cannot be used" in result.stdout


def test_json_is_one_document_with_its_schema() -> None:
    uris = [f"turn:127.0.0.1:{free_port()}?transport={kind}" for kind in ("udp", "tcp")]
    result = run("check", *uris, "--timeout", "1s", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 3
    assert document["schema"] == "natkit.turn.check/1"
    assert document["works"] is False
    assert [server["uri"] for server in document["servers"]] == uris
    for server in document["servers"]:
        (transport,) = server["transports"]
        assert transport["relayed"] is None
        assert transport["steps"][-1]["mend"]


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("check", "http://example.org"),
        ("check", "turn:127.0.0.1", "--username", "alice"),
        ("check", "turn:127.0.0.1", "--password", "wonderland"),
        ("check", "turn:127.0.0.1", "--secret", "s", "--password", "wonderland"),
        ("check", "turn:127.0.0.1", "--timeout", "soon"),
        ("check", "turn:127.0.0.1", "--ca-file", "/nonexistent"),
        ("bench", "turn:127.0.0.1", "--clients", "0"),
        ("bench", "turn:127.0.0.1", "--size", "20"),
        ("bench", "turn:127.0.0.1", "--clients", "1000", "--rate", "1000"),
        ("bench", "turn:127.0.0.1", "--direction", "sideways"),
        ("bench", "turns:127.0.0.1?transport=udp"),
    ],
    ids=" ".join,
)
def test_senseless_command_line_ends_with_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")


def test_bench_of_nobody_ends_with_3() -> None:
    result = run("bench", f"turn:127.0.0.1:{free_port()}?transport=tcp", "--clients", "1")
    assert result.exit_code == 3


def test_secret_makes_a_name_that_is_good_for_an_hour() -> None:
    given = given_login("alice", None, "shared")
    assert given.login is not None
    assert given.from_secret
    expiry = rest_expiry(given.login.username)
    assert expiry is not None
    assert expiry - given.unix_time == pytest.approx(3600, abs=1)
    assert given.login.username.endswith(":alice")
    assert given.login.password == rest_password("shared", given.login.username)


def test_name_and_password_are_taken_as_given() -> None:
    assert given_login("alice", "wonderland", None).login == Login("alice", "wonderland")
    assert given_login(None, None, None).login is None
