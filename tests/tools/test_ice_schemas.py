"""docs/schema: every ICE report and every survey fits; what breaks the contract does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import natkit
from natkit.cli.ice import as_document
from natkit.ice.candidate import TcpType
from natkit.tools.ice import Survey
from tests.ice.homes import KINDS, server
from tests.tools.path_calls import FULL, between, refused, reports
from tests.tools.path_grid import CELLS, outcome
from tests.tools.test_ice import DEAD, LIVE, gathered

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"

Report = dict[str, Any]


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


ICE, SURVEY = validator("ice-1"), validator("ice-survey-1")


def faults(report: Report, by: Draft202012Validator) -> list[str]:
    """Return where a report breaks its schema, as JSON paths."""
    written = json.loads(json.dumps(report))
    return sorted(error.json_path for error in by.iter_errors(written))


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_the_schemas_are_schemas(path: Path):
    Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("a", "b"), CELLS)
def test_reports_of_both_sides_of_every_cell_fit(a: str, b: str):
    assert [faults(report, ICE) for report in outcome(a, b).reports] == [[], []]


def test_reports_of_calls_that_failed_go_over_tcp_or_have_not_begun_fit():
    wrong = reports(between("none", "none"), FULL, FULL, password="wrong" * 5, patience=60)
    silent = reports(between("none", "none"), FULL, FULL, silent=True)
    over_tcp = reports(between("none", "none"), {"tcp": ["active"]}, {"tcp": ["passive", "so"]})
    assert [faults(it, ICE) for it in over_tcp] == [[], []]
    fresh = natkit.Connection(ice_controlling=True).report()
    assert [faults(it, ICE) for it in (*refused(), *wrong, *silent, fresh)] == [[]] * 7


SURVEYS: dict[str, Callable[[], Survey]] = {
    "everything": lambda: gathered(stun=LIVE, turn=(server(), server("tcp"))),
    "symmetric": lambda: gathered(KINDS["symmetric"], stun=LIVE),
    "dead server": lambda: gathered(stun=(DEAD,)),
    "refused": lambda: gathered(turn=(natkit.TurnServer(server().uri, "alice", "wrong"),)),
    "over tcp": lambda: gathered(tcp=(TcpType.ACTIVE, TcpType.PASSIVE)),
    "no gateway": lambda: gathered(mapping=True),
    "relay alone": lambda: gathered(hosts=False, turn=(server(),)),
}


@pytest.mark.parametrize("name", SURVEYS)
def test_a_survey_fits(name: str):
    assert faults(as_document(SURVEYS[name]()), SURVEY) == []


# -- the schemas can fail -----------------------------------------------------------------------

Change = Callable[[Report], object]

BROKEN: dict[str, tuple[str, Change]] = {
    "another schema": ("$.schema", lambda r: r.update(schema="natkit.ice/2")),
    "an unknown member": ("$", lambda r: r.update(extra=1)),
    "no pairs": ("$", lambda r: r.pop("pairs")),
    "a state of its own": ("$.state", lambda r: r.update(state="fine")),
    "a pair without a history": (
        "$.pairs[0].changes",
        lambda r: r["pairs"][0]["changes"].clear(),
    ),
    "an unknown pair state": ("$.pairs[0].state", lambda r: r["pairs"][0].update(state="lost")),
    "a negative count": (
        "$.pairs[0].checks_sent",
        lambda r: r["pairs"][0].update(checks_sent=-1),
    ),
    "a candidate without a port": (
        "$.pairs[0].remote",
        lambda r: r["pairs"][0].update(remote="host 10.0.0.1"),
    ),
    "a priority past 32 bits": (
        "$.local[0].priority",
        lambda r: r["local"][0].update(priority=2**32),
    ),
    "a candidate of ours without a base": ("$.local[0]", lambda r: r["local"][0].pop("base")),
    "a port past 16 bits": ("$.remote[0].port", lambda r: r["remote"][0].update(port=70000)),
    "an inquiry of an unknown cause": (
        "$.inquiries[0].cause",
        lambda r: r["inquiries"][0].update(cause="bad luck"),
    ),
    "an inquiry of an unknown kind": (
        "$.inquiries[0].kind",
        lambda r: r["inquiries"][0].update(kind="dns"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_report_is_found_where_it_is_broken(name: str):
    where, breaks = BROKEN[name]
    report = copy.deepcopy(outcome("port-restricted", "symmetric").reports[0])
    breaks(report)
    assert where in faults(report, ICE)


BROKEN_SURVEY: dict[str, tuple[str, Change]] = {
    "no verdicts": ("$", lambda r: r.pop("verdicts")),
    "a verdict without a kind": ("$.verdicts[0]", lambda r: r["verdicts"][0].pop("kind")),
    "a verdict of an unknown kind": (
        "$.verdicts[0].kind",
        lambda r: r["verdicts"][0].update(kind="luck"),
    ),
    "a step without an instant": ("$.steps[0].ms", lambda r: r["steps"][0].update(ms=None)),
    "a candidate without its priority": (
        "$.steps[0].candidate",
        lambda r: r["steps"][0]["candidate"].pop("priority"),
    ),
}


@pytest.mark.parametrize("name", BROKEN_SURVEY)
def test_a_broken_survey_is_found_where_it_is_broken(name: str):
    where, breaks = BROKEN_SURVEY[name]
    document = as_document(SURVEYS["everything"]())
    breaks(document)
    assert where in faults(document, SURVEY)
