"""`natkit explain` as it is typed."""

from __future__ import annotations

import json

from click.testing import CliRunner

from natkit.cli.main import main


def test_words_need_no_quotes():
    result = CliRunner().invoke(main, ["explain", "Symmetric", "NAT"])
    assert result.exit_code == 0
    assert result.output.startswith("Symmetric NAT: another public port for every destination\n")
    assert "RFC 4787 §4.1" in result.output


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
