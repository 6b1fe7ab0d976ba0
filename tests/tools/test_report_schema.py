"""docs/schema/probe-1.json: every report of a probe fits it; what breaks the contract does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.network import Family
from natkit.tools.probe import Options, ProbeReport, probe
from natkit.tools.report import redact, redactions, stand_ins, to_json

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "schema" / "probe-1.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA)

IPV4 = (Family.IPV4,)
USUAL = Options(STUN_SERVERS)
EVERYTHING = Options(STUN_SERVERS, IPV4, hairpin=True, lifetime=True, fragments=True)
PLAIN = Options((("stun2", 3478),))
DEAD = Options((("bob", 3478),), budget=1.0)

Report = dict[str, Any]


@cache
def probed(scenario: str, options: Options = USUAL) -> ProbeReport:
    """Probe a scenario in the simulator, once for all tests that look at it."""
    chosen = SCENARIOS[scenario]

    async def main(world: sim.SimWorld) -> ProbeReport:
        async with stun_servers(world):
            network = world.network(chosen.client)
            return await probe(network, options, randomness=Random(7).randbytes)

    return sim.run(chosen.topology, main, seed=7, debug=False)


def faults(report: Report) -> list[str]:
    """Return where a report breaks the schema, as JSON paths."""
    written = json.loads(json.dumps(report))
    return sorted(error.json_path for error in VALIDATOR.iter_errors(written))


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_report_of_a_scenario_fits(scenario: str):
    assert faults(to_json(probed(scenario))) == []


@pytest.mark.parametrize("scenario", ["short-lifetime", "hairpin"])
def test_a_report_with_everything_measured_fits(scenario: str):
    report = to_json(probed(scenario, EVERYTHING))
    assert faults(report) == []
    extras = [report["families"]["ipv4"][name] for name in ("hairpinning", "lifetime", "fragments")]
    assert all(finding["value"] is not None for finding in extras)


@pytest.mark.parametrize("options", [PLAIN, DEAD], ids=["plain server", "dead server"])
def test_a_report_with_much_not_measured_fits(options: Options):
    assert faults(to_json(probed("home", options))) == []


@pytest.mark.parametrize("scenario", ["home", "dual-stack", "double"])
def test_a_redacted_report_fits(scenario: str):
    report = probed(scenario)
    text = redact(json.dumps(to_json(report)), redactions(report))
    assert faults(json.loads(text)) == []


def test_both_ip_versions_have_the_same_members_even_where_one_is_missing():
    families = to_json(probed("home"))["families"]
    assert not families["ipv6"]["reachable"]
    assert families["ipv6"].keys() == families["ipv4"].keys()


# -- the schema can fail ------------------------------------------------------------------------

Change = Callable[[Report], object]

BROKEN: dict[str, tuple[str, Change]] = {
    "another schema": ("$.schema", lambda r: r.update(schema="natkit.probe/2")),
    "an unknown member": ("$", lambda r: r.update(extra=1)),
    "no verdict": ("$", lambda r: r.pop("verdict")),
    "a verdict of its own": ("$.verdict.direct", lambda r: r["verdict"].update(direct="maybe")),
    "no family": ("$.families", lambda r: r["families"].clear()),
    "a value that was not measured": (
        "$.families.ipv4.hairpinning.value",
        lambda r: r["families"]["ipv4"]["hairpinning"].update(value=False),
    ),
    "measured without a value": (
        "$.families.ipv4.mapping.value",
        lambda r: r["families"]["ipv4"]["mapping"].update(value=None),
    ),
    "no reason": (
        "$.families.ipv4.filtering.reason",
        lambda r: r["families"]["ipv4"]["filtering"].update(reason=""),
    ),
    "a word RFC 4787 does not have": (
        "$.families.ipv4.mapping.value",
        lambda r: r["families"]["ipv4"]["mapping"].update(value="symmetric"),
    ),
    "an unknown member of a property": (
        "$.families.ipv4.pooling",
        lambda r: r["families"]["ipv4"]["pooling"].update(note="so it seems"),
    ),
    "a step without a sequence": (
        "$.families.ipv4.port_allocation.step",
        lambda r: r["families"]["ipv4"]["port_allocation"].update(step=1),
    ),
    "reachable without an address": (
        "$.families.ipv4.mapped",
        lambda r: r["families"]["ipv4"].update(mapped=[]),
    ),
    "no address": (
        "$.families.ipv4.mapped[0].address",
        lambda r: r["families"]["ipv4"]["mapped"][0].update(address="localhost"),
    ),
    "port 0": (
        "$.families.ipv4.mapped[0].port",
        lambda r: r["families"]["ipv4"]["mapped"][0].update(port=0),
    ),
    "no open port at all": (
        "$.fallback.tcp.value",
        lambda r: r["fallback"]["tcp"]["value"].clear(),
    ),
    "a negative number of NATs": (
        "$.layers.value",
        lambda r: r["layers"]["value"].update(at_least=-1),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_report_is_found_where_it_is_broken(name: str):
    where, breaks = BROKEN[name]
    report = copy.deepcopy(to_json(probed("home")))
    breaks(report)
    assert where in faults(report)


# -- redaction ----------------------------------------------------------------------------------


def test_redaction_leaves_no_address_of_ones_own():
    report = probed("double")
    replacements = redactions(report)
    text = redact(json.dumps(to_json(report)), replacements)
    assert {"10.0.1.2", "10.0.1.1", "203.0.113.100"} <= replacements.keys()
    assert not any(own in text for own in ("10.0.1.", "203.0.113.100", "100.64.0."))
    assert "203.0.113.10:3478" in text, "the server's address starts like one's own"


def test_redaction_cuts_no_address_in_half():
    text = "10.0.0.1, 10.0.0.10, 110.0.0.1, 10.0.0.1:80, 2001:db8::1, 2001:db8::1:2, [2001:db8::1]"
    hidden = redact(text, {"10.0.0.1": "private-1", "2001:db8::1": "public-1"})
    expected = "private-1, 10.0.0.10, 110.0.0.1, private-1:80, public-1, 2001:db8::1:2, [public-1]"
    assert hidden == expected


def test_redaction_finds_addresses_in_words():
    report = probed("home")
    families = {**report.families, Family.IPV6: "cannot use the local address 2001:db8:7::1: gone"}
    told = replace(report, families=families)
    text = redact(json.dumps(to_json(told)), redactions(told))
    assert "2001:db8:7" not in text
    assert "203.0.113.11:3479" in text, "what the server announced is the server's"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "sees 10.0.0.1:80, [2001:db8::1]:80",
            {"10.0.0.1": "private-1", "2001:db8::1": "public-1"},
        ),
        ("2001:db8::1: no answer", {"2001:db8::1": "public-1"}),
        ("fe80::1%eth0 then ::1", {"fe80::1": "private-1", "::1": "private-2"}),
        ("at 2026-11-22T13:05:00Z from 0.0.0.0:0 or [::]:0, 1: two, 300.1.1.1", {}),
    ],
)
def test_addresses_are_told_from_what_looks_like_one(text: str, found: dict[str, str]):
    assert stand_ins(text) == found
