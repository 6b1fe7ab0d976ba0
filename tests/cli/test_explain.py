"""`natkit explain` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from natkit.cli.main import main
from natkit.tools.report import to_json
from tests.tools.path_grid import outcome, probed


def test_words_need_no_quotes():
    result = CliRunner().invoke(main, ["explain", "Symmetric", "NAT"])
    assert result.exit_code == 0
    assert result.output.startswith("Symmetric NAT: another public port for every destination\n")
    assert "RFC 4787 §4.1" in result.output


def test_trickle_is_explained_with_ice():
    result = CliRunner().invoke(main, ["explain", "trickle"])
    assert result.exit_code == 0
    assert "Candidates may trickle" in result.output


def test_without_a_topic_it_lists_them():
    result = CliRunner().invoke(main, ["explain"])
    assert result.exit_code == 0
    assert "hairpinning" in result.output
    assert "437 Allocation Mismatch" in result.output


def test_a_misspelt_topic_is_found_or_suggested():
    assert CliRunner().invoke(main, ["explain", "symetric-nat"]).exit_code == 0
    result = CliRunner().invoke(main, ["explain", "firewall rules"])
    assert result.exit_code == 2
    assert "Did you mean: " in result.stderr
    assert "open-internet" in result.stderr


def test_json_gives_the_topic_and_the_list():
    topic = json.loads(CliRunner().invoke(main, ["explain", "401", "--json"]).stdout)
    assert topic["name"] == "401"
    assert "§9.2.4" in topic["rfc"]
    assert topic["see"] == ["438", "turn"]
    listed = json.loads(CliRunner().invoke(main, ["explain", "--json"]).stdout)
    assert {"name": "401", "title": "401 Unauthenticated"} in listed


# -- the path of a call -------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Reports of a call, and probes of both its sides, as files."""
    ours, theirs = outcome("port-restricted", "symmetric").reports
    documents: dict[str, Any] = {
        "--report": ours,
        "--peer-report": theirs,
        "--nat": to_json(probed("port-restricted")),
        "--peer-nat": to_json(probed("symmetric")),
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return {name: str(tmp_path / f"{name}.json") for name in documents}


def explain(*words: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(main, ["explain", *words], input=stdin)


def test_report_alone_says_what_it_shows_and_what_is_unknown(files: dict[str, str]):
    result = explain("--report", files["--report"])
    assert result.exit_code == 0
    assert result.stdout.startswith("This side and the peer talk over the peer's relay at ")
    assert "Not known: how this side's NAT filters; how the peer's NAT filters" in (
        " ".join(result.stdout.split())
    )


def test_each_further_file_adds_what_it_knows(files: dict[str, str]):
    def told(*names: str) -> str:
        words = [word for name in ("--report", *names) for word in (name, files[name])]
        return str(explain(*words, "--json").stdout)

    assert json.loads(told())["path"]["relays"][0]["transport"] is None
    assert json.loads(told("--peer-report"))["path"]["relays"][0]["transport"] == "udp"
    for option, side in (("--nat", "local"), ("--peer-nat", "remote")):
        faults = json.loads(told(option))["missed"][-1]["faults"]
        assert [side] == [it["side"] for it in faults if it["basis"] == "measured"]
    assert "unknown" not in told("--nat", "--peer-nat")


def test_report_is_read_from_stdin():
    report = json.dumps(outcome("full-cone", "full-cone").reports[0])
    result = explain("--report", "-", stdin=report)
    assert "talk directly, through NAT" in result.stdout


def test_verbose_lists_the_pairs_with_their_checks(files: dict[str, str]):
    quiet, verbose = (explain("--report", files["--report"], *v).stdout for v in ((), ("-v",)))
    assert verbose.startswith(quiet.rstrip())
    pairs = outcome("port-restricted", "symmetric").reports[0]["pairs"]
    assert all(pair["remote"] in verbose for pair in pairs)
    assert verbose.count("selected") == 1


def test_path_options_without_a_report_or_beside_a_topic_are_usage_errors(files: dict[str, str]):
    for name in ("--peer-report", "--nat", "--peer-nat"):
        assert explain(name, files[name]).exit_code == 2
    assert explain("-v").exit_code == 2
    assert explain("--report", files["--report"], "cgnat").exit_code == 2


def test_file_that_is_no_report_is_a_usage_error():
    endless = "[" * 200_000
    for text, why in (
        ("{", "is no JSON"),
        (endless, "is no JSON"),
        ("{}", "this is no ICE report"),
    ):
        result = explain("--report", "-", stdin=text)
        assert result.exit_code == 2
        assert why in result.stderr


def test_standard_input_that_is_closed_is_a_usage_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("natkit.cli.explain.sys", SimpleNamespace(stdin=None))
    result = explain("--report", "-")
    assert result.exit_code == 2
    assert "standard input is closed" in result.stderr
