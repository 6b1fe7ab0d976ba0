"""For each cell of the matrix the explanation names the cause, or says that it is unknown.

What is expected is worked out here from how the NATs of a cell were built, cell by cell, by none of
the code that explains. The paragraphs are in path_grid.txt.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from natkit.lab.homes import HOMES
from natkit.nat.behaviour import Filtering, Mapping
from natkit.tools.path_entries import PathKind
from natkit.tools.path_improve import Change
from natkit.tools.path_values import Missed, PathExplanation
from tests.tools.path_grid import CELLS, GOLDEN, document, explained, reviewed

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "path-1.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))

PATHS = reviewed()
RELAYED = [cell for cell in CELLS if PATHS[cell] == "relayed"]
DIRECT = [cell for cell in CELLS if PATHS[cell] == "direct"]

Causes = set[tuple[str, str]]


def mapping_cause(kind: str) -> set[str]:
    """Return what the NATs of a kind do to whoever relies on the port that STUN saw."""
    maps = {nat.mapping for nat in (HOMES[kind].nat, HOMES[kind].carrier) if nat is not None}
    return {"port-per-destination"} if maps - {Mapping.ENDPOINT_INDEPENDENT} else set()


def filter_cause(kind: str) -> set[str]:
    """Return what keeps out packets from a port that nobody inside has sent to."""
    filters = {nat.filtering for nat in (HOMES[kind].nat, HOMES[kind].carrier) if nat is not None}
    if Filtering.ADDRESS_AND_PORT_DEPENDENT in filters:
        return {"port-filter"}
    return {"address-filter"} if Filtering.ADDRESS_DEPENDENT in filters else set()


def causes(missed: Missed) -> Causes:
    return {(fault.side.value, fault.cause.value) for fault in missed.faults}


def of_kind(explanation: PathExplanation, kind: PathKind) -> Missed:
    (found,) = (it for it in explanation.missed if it.kind is kind and it.over is None)
    return found


def sides(a: str, b: str, seen_by: str = "A") -> dict[str, str]:
    return {"local": a, "remote": b} if seen_by == "A" else {"local": b, "remote": a}


def blocked(a: str, b: str, seen_by: str = "A") -> Causes:
    found = sides(a, b, seen_by).items()
    return {(side, "udp-blocked") for side, kind in found if HOMES[kind].udp_blocked}


def test_grid_has_cells_of_every_sort():
    assert list(PATHS) == CELLS
    assert (len(DIRECT), len(RELAYED)) == (37, 29)


@pytest.mark.parametrize("seen_by", ["A", "B"])
@pytest.mark.parametrize(("a", "b"), RELAYED)
def test_measured_nats_are_named_as_the_cause_of_a_relay(a: str, b: str, seen_by: str):
    explanation = explained(a, b, measured=True, seen_by=seen_by)
    expected = blocked(a, b, seen_by) or {
        (side, cause)
        for side, kind in sides(a, b, seen_by).items()
        for cause in mapping_cause(kind) | filter_cause(kind)
    }
    assert explanation.kind is PathKind.RELAYED
    assert causes(of_kind(explanation, PathKind.THROUGH_NAT)) == expected
    assert "unknown" not in explanation.paragraph


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("a", "b"), RELAYED)
def test_without_a_probe_filters_are_unknown_and_mappings_that_two_servers_saw_are_not(
    a: str, b: str, both: bool
):
    explanation = explained(a, b, measured=False, both=both)
    expected = blocked(a, b)
    if not both and HOMES[b].udp_blocked:
        # B's own report alone knows why it told no address.
        expected.discard(("remote", "udp-blocked"))
        expected = expected or {("remote", "no-reflexive-candidate")}
    if not expected:
        expected = {("local", "unknown"), ("remote", "unknown")} | {
            (side, cause) for side, kind in sides(a, b).items() for cause in mapping_cause(kind)
        }
    missed = of_kind(explanation, PathKind.THROUGH_NAT)
    assert causes(missed) == expected
    assert all(
        (fault.cause.value == "unknown") is (fault.basis.value == "unknown")
        for fault in missed.faults
    )


@pytest.mark.parametrize(("a", "b"), CELLS)
def test_no_network_in_common_and_no_public_address_are_told_of_who_has_none(a: str, b: str):
    explanation = explained(a, b, measured=True)
    if a == b == "none":
        assert explanation.kind is PathKind.DIRECT
        assert explanation.missed == ()
        return
    assert causes(of_kind(explanation, PathKind.SAME_NETWORK)) == {("both", "different-networks")}
    without = {side for side, kind in sides(a, b).items() if HOMES[kind].nat is not None}
    expected = {(side, "no-public-address") for side in without}
    assert causes(of_kind(explanation, PathKind.DIRECT)) == expected


@pytest.mark.parametrize(("a", "b"), DIRECT)
def test_direct_path_goes_through_nat_unless_there_is_none(a: str, b: str):
    explanation = explained(a, b, measured=True)
    through = PathKind.DIRECT if a == b == "none" else PathKind.THROUGH_NAT
    assert explanation.kind is through
    assert explanation.relays == explanation.improve == ()


@pytest.mark.parametrize(("a", "b"), RELAYED)
def test_relay_is_told_with_its_owner_and_how_it_is_reached(a: str, b: str):
    explanation = explained(a, b, measured=True)
    assert explanation.relays
    for relay in explanation.relays:
        over_tcp = HOMES[sides(a, b)[relay.side.value]].udp_blocked
        assert relay.transport == ("tcp" if over_tcp else "udp")
    over_udp = [missed for missed in explanation.missed if missed.over == "udp"]
    assert all(causes(missed) <= blocked(a, b) for missed in over_udp)
    assert len(over_udp) == sum(relay.transport == "tcp" for relay in explanation.relays)


@pytest.mark.parametrize(("a", "b"), [cell for cell in RELAYED if not blocked(*cell)])
def test_changes_that_are_enough_make_the_call_direct_by_the_grid(a: str, b: str):
    """Change one side of the cell as advised, and look up in the grid what becomes of the call."""
    enough = {
        (it.side.value, it.change) for it in explained(a, b, measured=True).improve if it.enough
    }
    for side, (own, other) in {"local": (a, b), "remote": (b, a)}.items():
        with_port = "full-cone" if HOMES[own].carrier is None else own
        assert ((side, Change.MAP_A_PORT) in enough) is (path(with_port, other) == "direct")
        strict = filter_cause(own) == {"port-filter"}
        steady = "port-restricted" if strict else "address-restricted"
        advised = (side, Change.STEADY_MAPPING) in enough
        assert advised is (bool(mapping_cause(own)) and path(steady, other) == "direct")


def path(a: str, b: str) -> str:
    return PATHS.get((a, b)) or PATHS[b, a]


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize(("a", "b"), CELLS)
def test_every_explanation_fits_its_schema(a: str, b: str, measured: bool):
    written = json.loads(json.dumps(explained(a, b, measured=measured, both=measured).as_json()))
    assert [error.json_path for error in VALIDATOR.iter_errors(written)] == []


def test_paragraphs_are_those_that_were_reviewed():
    stale = "run python -m tests.tools.path_grid, and read what changed"
    assert GOLDEN.read_text(encoding="utf-8") == document(), stale
