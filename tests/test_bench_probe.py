"""The probe benchmark: how the tools' words are read and held against the truth, and one round."""

from __future__ import annotations

import json

import pytest

from natkit.errors import NatkitError
from natkit.lab.scenarios import SCENARIOS, Truth
from natkit.nat.behaviour import Filtering, Mapping
from scripts.benchmarks._nat_round import DISCOVERY, NATDISCOVERY, PROBE, PYSTUN3, Answer, Task
from scripts.benchmarks._nat_round import measure as measure_network
from scripts.benchmarks._nat_tools import (
    Grade,
    grade_natdiscovery,
    grade_natkit,
    grade_pystun3,
)
from scripts.benchmarks.probe import NATS, PORT_RESTRICTED, summary

HOME = SCENARIOS["home"].truth
ADM_ADF = SCENARIOS["adm-adf"].truth


def natdiscovery_says(mapping: str | None, filtering: str | None) -> str:
    lines = ["-= Mapping Behavior Discovery =-", "STUN receive timeout.."]
    if mapping is not None:
        lines.append(f"NAT with {mapping} Mapping!")
    if filtering is not None:
        lines.append(f"NAT with {filtering} Filtering!")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("mapping", "filtering", "truth", "grade"),
    [
        ("Endpoint Independent", "Address and Port Dependent", HOME, Grade.RIGHT),
        ("Address Dependent", "Address Dependent", ADM_ADF, Grade.RIGHT),
        ("Endpoint Independent", "Address Dependent", HOME, Grade.WRONG),
        ("Address and Port Dependent", "Address and Port Dependent", HOME, Grade.WRONG),
        ("Endpoint Independent", None, HOME, Grade.OPEN),
        (None, "Endpoint Independent", HOME, Grade.WRONG),
        (None, None, HOME, Grade.OPEN),
    ],
)
def test_natdiscovery_is_right_only_with_both_words(
    mapping: str | None, filtering: str | None, truth: Truth, grade: Grade
):
    assert grade_natdiscovery(natdiscovery_says(mapping, filtering), truth) is grade


def test_natdiscovery_without_a_nat_names_its_mapping_in_brackets():
    output = "No NAT! (Endpoint Independent Mapping)\nNAT with Endpoint Independent Filtering!"
    assert grade_natdiscovery(output, SCENARIOS["open"].truth) is Grade.RIGHT


@pytest.mark.parametrize(
    ("name", "nat", "grade"),
    [
        ("Restric Port NAT", "home", Grade.RIGHT),
        ("Restric NAT", "address-restricted", Grade.RIGHT),
        ("Full Cone", "full-cone", Grade.RIGHT),
        ("Symmetric NAT", "symmetric-adf", Grade.RIGHT),
        ("Symmetric NAT", "adm-apdf", Grade.RIGHT),
        ("Full Cone", "symmetric-eif", Grade.WRONG),
        ("Blocked", "home", Grade.WRONG),
        ("Meet an error, when do Test1 on Changed IP and Port", "home", Grade.OPEN),
    ],
)
def test_pystun3_is_asked_for_the_name_of_rfc_3489_only(name: str, nat: str, grade: Grade):
    output = f"NAT Type: {name}\nExternal IP: None\nExternal Port: None\n"
    assert grade_pystun3(output, SCENARIOS[nat].truth) is grade


def test_a_peer_that_fell_over_has_no_answer():
    assert grade_pystun3("Traceback (most recent call last):\n", HOME) is Grade.OPEN
    assert grade_natdiscovery("", HOME) is Grade.OPEN


def natkit_says(mapping: str | None, filtering: str | None) -> str:
    ipv4 = {"mapping": {"value": mapping}, "filtering": {"value": filtering}}
    return json.dumps({"families": {"ipv4": ipv4}})


@pytest.mark.parametrize(
    ("filtering", "grade"),
    [
        ("address-and-port-dependent", Grade.RIGHT),
        ("address-dependent", Grade.WRONG),
        (None, Grade.OPEN),
    ],
)
def test_natkit_is_graded_by_its_json(filtering: str | None, grade: Grade):
    assert grade_natkit(natkit_says("endpoint-independent", filtering), HOME) is grade


def test_no_network_is_no_answer_but_a_broken_natkit_stops_the_measurement():
    unreachable = {"type": "NetworkUnreachable", "exit_code": 3, "what": "no route"}
    assert grade_natkit(json.dumps({"error": unreachable}), HOME) is Grade.OPEN
    with pytest.raises(NatkitError, match="failed"):
        grade_natkit(json.dumps({"error": unreachable | {"type": "NatkitError"}}), HOME)
    with pytest.raises(NatkitError, match="no JSON"):
        grade_natkit("Traceback (most recent call last):\n", HOME)


def test_the_fourteen_nats_have_every_mapping_with_every_filtering():
    truths = [SCENARIOS[name].truth for name in NATS]
    assert len(truths) == 14
    cells = {(truth.mapping, truth.filtering) for truth in truths}
    assert cells == {(m, f) for m in Mapping for f in Filtering}
    assert all(truth.nat and truth.udp and truth.layers == 1 for truth in truths)
    assert {SCENARIOS[name].alias for name in PORT_RESTRICTED} == {"Port Restricted Cone"}


def test_every_tool_has_its_turn_at_every_place():
    orders = [Task("home", 0.0, turn).order for turn in range(4)]
    for place in zip(*orders, strict=True):
        assert sorted(place) == sorted([PROBE, DISCOVERY, NATDISCOVERY, PYSTUN3])


def test_the_rows_hold_medians_and_counts_of_their_own_condition():
    def answers(loss: float, tool: str, *seconds: float, grade: Grade) -> list[Answer]:
        return [Answer(Task("home", loss, 0), tool, grade, s, packets=10) for s in seconds]

    found = summary(
        [
            *answers(0.0, PROBE, 1.0, 2.0, 9.0, grade=Grade.RIGHT),
            *answers(0.0, DISCOVERY, 0.5, grade=Grade.RIGHT),
            *answers(0.0, NATDISCOVERY, 4.0, 4.0, 4.0, grade=Grade.OPEN),
            *answers(0.1, PROBE, 3.0, 5.0, 4.0, grade=Grade.RIGHT),
            *answers(0.1, DISCOVERY, 0.7, grade=Grade.RIGHT),
            *answers(0.1, NATDISCOVERY, 8.0, 8.0, 8.0, grade=Grade.WRONG),
        ],
        {NATDISCOVERY: "natdiscovery 1"},
    )
    by_name = {row.name: (row.ours, row.peer, row.unit, row.ratio) for row in found}
    assert by_name["probe, clean"] == (2.0, 4.0, "s", 0.5)
    assert by_name["probe, 10 % loss"] == (4.0, 8.0, "s", 0.5)
    assert by_name["probe, port-restricted, 10 % loss, slowest"] == (5.0, 8.0, "s", 0.625)
    assert by_name["right (more is better), clean"] == (3, 0, "of 3", None)
    assert by_name["wrong, 10 % loss"] == (0, 3, "of 3", 0.0)
    assert by_name["no answer, clean"] == (0, 3, "of 3", 0.0)
    assert by_name["datagrams sent, clean"] == (10, 10, "", 1.0)
    assert {row.peer_name for row in found} == {"natdiscovery 1"}


@pytest.mark.root
@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.needs("root", "nft", "ip", "tc", "turnserver", "turnutils_natdiscovery")
def test_all_tools_answer_behind_a_full_cone():
    answers = measure_network(Task("full-cone", 0.0, 0))
    assert {answer.tool for answer in answers} == {PROBE, DISCOVERY, NATDISCOVERY, PYSTUN3}
    assert {answer.grade for answer in answers} == {Grade.RIGHT}
    assert all(answer.seconds > 0 and answer.packets >= 2 for answer in answers)
