"""`natkit ice`: how it reads its command line, what it prints, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from natkit.cli.main import main
from tests.cli.test_stun import free_port

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "ice-survey-1.json"


@pytest.fixture(scope="module")
def stun() -> Iterator[str]:
    """A STUN server on loopback."""
    port = free_port()
    words = [sys.executable, "-m", "natkit", "stun", "serve", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield f"stun:127.0.0.1:{port}"
        process.terminate()


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["ice", "--interface", "lo", *words])


def test_table_shows_candidates_and_a_verdict(stun: str) -> None:
    result = run("--stun", stun)
    assert result.exit_code == 0, result.output
    assert "126 | 6553" in result.stdout
    assert "host: works" in result.stdout
    assert "reflexive: works (the servers see our own address" in result.stdout


def test_candidates_over_tcp_are_shown_where_they_are_asked_for(stun: str) -> None:
    result = run("--stun", stun, "--tcp", "active", "--tcp", "passive")
    assert "127.0.0.1:9 TCP active" in result.stdout
    assert " TCP passive" in result.stdout
    assert "host over tcp: works" in result.stdout


def test_gateway_is_asked_for_a_port_where_that_is_wanted(stun: str) -> None:
    result = run("--stun", stun, "--port-mapping")
    assert result.exit_code == 3
    assert "mapped port: does not work (no gateway of this address is known)" in result.stdout


def test_relay_that_nobody_runs_ends_with_3(stun: str) -> None:
    result = run("--stun", stun, "--turn", f"turn:127.0.0.1:{free_port()}")
    assert result.exit_code == 3
    assert "does not work (nobody listens there)" in result.stdout


def test_json_is_one_document(stun: str) -> None:
    document = json.loads(run("--stun", stun, "--json").stdout)
    assert document["schema"] == "natkit.ice.survey/1"
    assert document["works"] is True
    assert [verdict["kind"] for verdict in document["verdicts"]] == ["host", "reflexive"]
    hosts = [step["candidate"] for step in document["steps"] if step["candidate"]]
    assert {host["type"] for host in hosts} == {"host"}
    assert hosts[0]["priority_parts"][0] == 126


def test_jsonl_is_a_line_for_each_step_and_the_verdict_last(stun: str) -> None:
    lines = [json.loads(line) for line in run("--stun", stun, "--jsonl").stdout.splitlines()]
    assert len(lines) >= 3
    assert lines[-1]["schema"] == "natkit.ice.survey/1"
    outcome = {**lines[-1], "steps": lines[:-1]}
    jsonschema.validate(outcome, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_relay_policy_gathers_nothing_else() -> None:
    uri = f"turn:127.0.0.1:{free_port()}"
    document = json.loads(run("--policy", "relay", "--turn", uri, "--json").stdout)
    assert [step["candidate"] for step in document["steps"]] == [None]
    assert document["verdicts"][0]["works"] is None


def test_no_relay_policy_asks_no_turn_server(stun: str) -> None:
    uri = f"turn:127.0.0.1:{free_port()}"
    result = run("--stun", stun, "--policy", "no-relay", "--turn", uri, "--json")
    assert [v["kind"] for v in json.loads(result.stdout)["verdicts"]] == ["host", "reflexive"]


@pytest.mark.parametrize(
    "words",
    [
        ("--policy", "relay"),
        ("--policy", "some"),
        ("--stun", "http://example.org"),
        ("--stun", "stuns:example.org"),
        ("--turn", "turns:example.org?transport=udp"),
        ("--turn", "turn:example.org", "--username", "alice"),
        ("--interface", "nosuch0"),
        ("--secret", "x"),
        ("--username", "alice", "--password", "x"),
        ("--json", "--jsonl"),
    ],
    ids=" ".join,
)
def test_senseless_command_line_ends_with_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert "--jsonl" in words or result.stderr.startswith("error: ")
