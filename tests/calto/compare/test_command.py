"""`calto compare` as it is typed: in the simulator, on this machine, and in real namespaces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from calto_demo.cli import COMMANDS, main
from natkit.cli.lazy import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "schema" / "compare-1.json").read_text(encoding="utf-8"))
GOLDEN = Path(__file__).with_name("golden.json")


def calto(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(main, words)


def compared(*words: str) -> dict[str, Any]:
    """Run `calto compare`, and return its document, held against the schema."""
    done = calto("compare", "--json", *words)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


def test_every_command_loads():
    assert [load(entry).name for entry in COMMANDS.values()] == list(COMMANDS)


def test_a_call_is_the_same_to_the_byte_each_time():
    """The golden file is what the command printed; write it anew where the change is meant."""
    document = compared("--lab", "home-vs-full-cone", "--for", "3s", "--price", "0.5")
    assert document == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_another_seed_is_another_call():
    one, two = (
        compared("--lab", "home-vs-full-cone", "--for", "1s", "--loss", "3%", "--seed", seed)
        for seed in ("1", "2")
    )
    assert one["direct"] != two["direct"]


def test_both_ways_are_measured():
    document = compared("--lab", "full-cone-vs-home", "--for", "2s", "--relay-away", "30ms")
    direct, relay = document["direct"], document["relay"]
    assert (direct["path"], relay["path"]) == ("direct", "relayed")
    # 10 ms from each home to the internet, and 30 ms from there to the relay, each way, twice.
    assert direct["rtt_ms"] == pytest.approx(40, abs=0.5)
    assert relay["rtt_ms"] == pytest.approx(160, abs=0.5)
    assert relay["setup_ms"] > direct["setup_ms"]
    assert min(direct["heard"], relay["heard"]) > 0.95
    # 100 packets each way, of 100 bytes or more.
    assert relay["relayed_bytes"] > 2 * 100 * 100
    assert relay["relayed_bytes_hourly"] == round(relay["relayed_bytes"] / 2 * 3600)


def test_between_two_symmetric_nats_the_relay_alone_works_and_it_is_told_where_packets_ended():
    document = compared("--lab", "symmetric-vs-symmetric", "--for", "1s")
    assert document["direct"]["path"] == "failed"
    assert document["direct"]["setup_ms"] is None
    assert document["relay"]["path"] == "relayed"
    filtered = [
        drop
        for drop in document["direct"]["drops"]
        if drop["why"] == "filtered, nobody inside asked this sender"
    ]
    assert {drop["node"] for drop in filtered} == {"r-alice", "r-bob"}
    assert all(drop["packets"] > 1 for drop in filtered)


def test_a_home_without_udp_calls_through_a_relay_over_tcp():
    document = compared("--lab", "udp-blocked-vs-home", "--for", "1s")
    assert document["direct"]["path"] == "failed"
    assert document["relay"]["local"].endswith(" tcp")
    assert document["relay"]["heard"] > 0.9


def test_loss_is_seen_and_heard():
    document = compared("--lab", "home-vs-full-cone", "--for", "5s", "--loss", "4%", "--seed", "2")
    for leg in (document["direct"], document["relay"]):
        assert 0.02 < leg["loss"] < 0.2
        assert leg["heard"] < 0.95


def test_the_table_names_every_phase_and_says_what_it_means():
    done = calto("compare", "--lab", "symmetric-vs-symmetric", "--for", "1s")
    assert done.exit_code == 0
    for row in ("path ", "set-up", "gathering", "signalling", "ICE", "DTLS", "first audio"):
        assert row in done.stdout
    assert "ended at bob's NAT" in done.stdout
    assert "without the relay there would be no call" in done.stdout


def test_the_price_is_told_where_one_is_given():
    words = ("compare", "--lab", "home-vs-full-cone", "--for", "1s")
    assert "at 0.4 a GB" in calto(*words, "--price", "0.4").stdout
    assert "an hour of traffic" in calto(*words).stdout


def test_the_page_needs_nothing_else_and_shows_both_calls(tmp_path: Path):
    page = tmp_path / "page.html"
    done = calto("compare", "--lab", "home-vs-home", "--for", "1s", "--html", str(page))
    assert done.exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|url\(|@import", text)
    assert text.count("<svg") == 7  # two ways, one time line, four quantities
    assert "prefers-color-scheme: dark" in text
    [document] = re.findall(r'id="calto-compare">(.*?)</script>', text)
    jsonschema.validate(json.loads(document), SCHEMA)


def test_a_page_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path):
    page = tmp_path / "none" / "page.html"
    done = calto("compare", "--lab", "home-vs-home", "--for", "1s", "--html", str(page))
    assert done.exit_code == 2
    assert str(page.parent) in done.output


def test_an_unknown_home_is_refused_with_those_there_are():
    done = calto("compare", "--lab", "home-vs-moon", "--json")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert "home-vs-moon" in error["what"]
    assert "symmetric" in error["hint"]


@pytest.mark.slow  # audio takes the time it takes
def test_on_this_machine_both_ways_work():
    document = compared("--for", "2s")
    assert (document["direct"]["path"], document["relay"]["path"]) == ("direct", "relayed")
    assert min(document["direct"]["heard"], document["relay"]["heard"]) > 0.9
    assert document["relay"]["relayed_bytes"] > 2 * 100 * 100
    assert document["direct"]["drops"] is None


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("root", "nft", "ip")
def test_in_namespaces_real_nats_are_passed():
    document = compared("--lab", "home-vs-full-cone", "--backend", "netns", "--for", "2s")
    assert (document["direct"]["path"], document["relay"]["path"]) == ("direct", "relayed")
    assert document["direct"]["local"].startswith(("srflx", "prflx"))
    assert min(document["direct"]["heard"], document["relay"]["heard"]) > 0.9


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--loss", "5%"), "--loss needs --lab"),
        (("--seed", "3"), "--seed needs --lab"),
        (("--backend", "netns"), "--backend needs --lab"),
        (("--relay-away", "50ms"), "--relay-away needs --lab"),
        (("--for", "99999999h"), "--for is too long"),
        (("--price", "nan"), "--price"),
        (("--price", "1e308"), "--price"),
    ],
    ids=str,
)
def test_what_would_be_ignored_or_never_end_is_refused(words: tuple[str, ...], what: str):
    done = calto("compare", *words)
    assert done.exit_code == 2
    assert what in done.stderr


@pytest.mark.parametrize(
    ("option", "share", "hint"),
    [("--loss", "100%", "Give --loss less"), ("--relay-away", "100s", "Give --relay-away less")],
)
def test_where_nobody_gets_through_both_ways_have_failed_and_it_is_said_who_does_not_get_where(
    option: str, share: str, hint: str
):
    done = calto("compare", "--lab", "home-vs-home", option, share, "--for", "1s", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["verdict"] == "Neither way works."
    for leg in (document["direct"], document["relay"]):
        assert leg["path"] == "failed"
        assert "Alice does not get through to the server where both meet" in leg["explanation"]
        assert hint in leg["explanation"]
    assert "203.0.113" not in done.stdout


def test_a_distance_that_real_nats_do_not_have_is_refused():
    words = ("--lab", "home-vs-home", "--backend", "netns", "--relay-away", "30ms")
    done = calto("compare", *words, "--json")
    assert done.exit_code == 2
    assert "--relay-away needs the simulator" in json.loads(done.stdout)["error"]["what"]
