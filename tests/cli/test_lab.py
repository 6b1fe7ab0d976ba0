"""`natkit lab` as it is typed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from natkit.cli.lab_probe import LabRun, disagreements
from natkit.cli.lab_text import describe
from natkit.cli.main import main
from natkit.cli.params import SHARE
from natkit.lab.scenarios import POOL, SCENARIOS, Truth, behind, scenario
from natkit.lab.topology import Firewall, Hairpin, Link, Nat, Pooling
from natkit.nat.behaviour import Filtering, Mapping


def _run(*words: str) -> str:
    result = CliRunner().invoke(main, ["lab", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_names_every_scenario():
    text = _run("list")
    assert all(name in text for name in SCENARIOS)


def test_list_leaves_half_of_eighty_columns_for_the_titles():
    header = _run("list").splitlines()[0]
    assert header.index("what it is") <= 40


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["lab", "show", "hme"], "Did you mean: home"),
        (["lab", "probe", "symetric"], "symmetric"),
        (["lab", "show", "qqqqqqq"], "natkit lab list"),
        (["prob"], "Did you mean 'probe'?"),
        (["lab", "lst"], "Did you mean 'list'?"),
    ],
)
def test_a_slip_of_the_pen_gets_a_suggestion(words: list[str], suggestion: str):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert suggestion in result.stderr


def test_what_the_screen_says_is_missing_can_be_asked_for():
    screen = _run("probe", "hairpin", "--hairpin", "--lifetime", "--fragments")
    assert not re.search("needs --", screen)


def test_a_symmetric_nat_that_lets_anyone_in_is_explained():
    screen = _run("probe", "symmetric-eif")
    assert "direct calls: with everyone" in screen
    assert 'called this "Symmetric"' in screen
    assert "The filter decides here" in screen
    assert "The filter decides here" not in _run("probe", "full-cone")


def test_list_as_json_has_the_truth():
    document = json.loads(_run("list", "--json"))
    assert document["schema"] == "natkit.lab.list/1"
    found = {each["name"]: each for each in document["scenarios"]}
    assert list(found) == list(SCENARIOS)
    assert found["sequential-down"]["truth"] == {
        "nat": True,
        "udp": True,
        "mapping": "address-and-port-dependent",
        "filtering": "address-and-port-dependent",
        "ports": "sequential",
        "step": -1,
        "layers": 1,
    }
    assert found["udp-blocked"]["truth"]["mapping"] is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_drawn(name: str):
    text = _run("show", name)
    topology = SCENARIOS[name].topology
    for node in (*topology.hosts, *topology.routers):
        assert node.name in text


def test_a_network_is_drawn_from_the_internet_inwards():
    lines = _run("show", "double").splitlines()
    order = ["internet  203", "+-- cgn", "carrier  100", "+-- home", "home  10", "+-- alice"]
    places = [next(n for n, line in enumerate(lines) if word in line) for word in order]
    assert places == sorted(places)
    assert "  NAT:        yes, 2 layers" in lines


@pytest.mark.parametrize(
    ("nat", "words"),
    [
        (Nat(hairpin=Hairpin.INTERNAL_SOURCE), "hairpins with the internal source"),
        (Nat(pool=POOL, pooling=Pooling.PER_DESTINATION), "chosen by destination"),
        (Nat(pool=POOL, one_to_one=True), "for each host"),
        (Nat(lifetime=7), "forgets after 7 s"),
        (Nat(table_size=9), "holds 9 mappings"),
        (Nat(rewrites_payload=True), "inside payloads"),
    ],
)
def test_what_is_special_about_a_nat_is_said(nat: Nat, words: str):
    assert words in describe(replace(SCENARIOS["home"], topology=behind(nat)))


def test_firewalls_and_links_are_described():
    firewall = Firewall(stateful=True, udp_blocked=True, tcp_ports=())
    link = Link(latency=0.02, jitter=0.001, loss=0.1, rate=1_000_000)
    text = describe(replace(SCENARIOS["home"], topology=behind(None, firewall, link)))
    assert "firewall: nothing comes in unasked, no UDP, TCP out to nowhere only" in text
    assert "20 ms, jitter 1 ms, 0.1 loss, 1e+06 bit/s" in text


def test_rules_are_printed_without_building_anything():
    text = _run("show", "double", "--rules")
    assert text.count("table ip nat {") == 2
    assert text.startswith("# router home\n")


def test_rules_follow_the_seed():
    assert _run("show", "adm-eif", "--rules") != _run("show", "adm-eif", "--rules", "--seed", "5")


def test_probe_says_what_was_found_and_that_it_is_right():
    text = _run("probe", "symmetric")
    assert text.startswith("symmetric (sim): a corporate firewall\n")
    assert text.rstrip().endswith("The probe contradicts nothing of what the lab has built.")


def test_probe_as_json_holds_the_probes_own_document():
    document = json.loads(_run("probe", "full-cone", "--loss", "5%", "--seed", "3", "--json"))
    assert document["schema"] == "natkit.lab.probe/1"
    assert (document["loss"], document["seed"], document["backend"]) == (0.05, 3, "sim")
    assert document["disagreements"] == document["notes"] == []
    assert document["probe"]["families"]["ipv4"]["filtering"]["value"] == "endpoint-independent"


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("0", 0.0), ("100%", 1.0)])
def test_a_share_is_written_either_way(text: str, share: float):
    assert SHARE.convert(text, None, None) == share


@pytest.mark.parametrize("text", ["200%", "1.1", "-1%", "ten", "%", "5%5"])
def test_what_is_no_share_is_a_usage_error(text: str):
    result = CliRunner().invoke(main, ["lab", "probe", "home", f"--loss={text}"])
    assert result.exit_code == 2
    assert "write 10% or 0.1" in result.stderr


def test_probe_is_the_same_for_the_same_seed():
    words = ("probe", "home", "--seed", "4", "--loss", "0.2", "--json")
    assert _run(*words) == _run(*words)


def test_hairpin_and_lifetime_can_be_asked_for():
    document = json.loads(_run("probe", "short-lifetime", "--hairpin", "--lifetime", "--json"))
    ipv4 = document["probe"]["families"]["ipv4"]
    assert ipv4["hairpinning"]["value"] is not None
    assert ipv4["lifetime"]["value"] is not None


def test_a_contradiction_is_named():
    report = LabRun(scenario("home"), "sim", 0).probe()
    assert disagreements(report, scenario("home").truth) == ()
    wrong = Truth(mapping=Mapping.ADDRESS_DEPENDENT, filtering=Filtering.ENDPOINT_INDEPENDENT)
    said = disagreements(report, replace(wrong, nat=False, layers=0))
    assert [words.split(":")[0] for words in said] == [
        "NAT",
        "mapping",
        "filtering",
        "layers of NAT",
    ]
    assert "the probe says yes, the lab built no" in said[0]


def test_a_contradiction_ends_with_1(monkeypatch: pytest.MonkeyPatch):
    lie = replace(SCENARIOS["home"], truth=Truth(mapping=Mapping.ADDRESS_DEPENDENT))
    monkeypatch.setitem(SCENARIOS, "home", lie)
    result = CliRunner().invoke(main, ["lab", "probe", "home"])
    assert result.exit_code == 1
    assert "wrong - mapping: the probe says endpoint-independent" in result.stdout


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_probe_runs_in_namespaces_and_notes_what_is_left_out():
    text = _run("probe", "sequential", "--backend", "netns")
    assert text.startswith("sequential (netns): ")
    assert "\nnote: links have no latency" in text


@pytest.mark.parametrize(
    "words",
    [
        ("--loss", "nan"),
        ("--explain", "none", "none", "--html", "page.html"),
        ("--explain", "none", "none", "--kinds", "none"),
        ("--explain", "none", "none", "--engine", "natkit"),
    ],
    ids=" ".join,
)
def test_matrix_refuses_what_it_would_have_to_ignore(words: tuple[str, ...]):
    done = CliRunner().invoke(main, ["lab", "matrix", *words])
    assert done.exit_code == 2
    assert next(word for word in reversed(words) if word.startswith("--")) in done.stderr
