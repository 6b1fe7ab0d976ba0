"""Who can call whom: the rule against the matrix that was measured on real NATs, and the words."""

from __future__ import annotations

import itertools

import pytest

from natkit.nat.behaviour import Filtering, Mapping
from natkit.nat.verdict import Behaviour, Reach, can_call_directly, judge, rfc3489_name

EIF, ADF, APDF = Filtering
EI, AD, APD = Mapping


def behaviour(steady: bool | None, filtering: Filtering | None, nat: bool = True) -> Behaviour:
    return Behaviour(True, steady, filtering, nat)


KINDS = {
    "full cone": behaviour(True, EIF),
    "address-restricted": behaviour(True, ADF),
    "port-restricted": behaviour(True, APDF),
    "ADM, filtered": behaviour(False, APDF),
    "symmetric, open": behaviour(False, EIF),
    "symmetric, by address": behaviour(False, ADF),
    "symmetric, sequential": behaviour(False, APDF),
    "symmetric, random": behaviour(False, APDF),
}

MATRIX = """
DDDDDDDD
 DDDDDDD
  DRDRRR
   RDRRR
    DDDD
     RRR
      RR
       R
"""
"""Measured with ICE on Linux NATs: D direct, R relay; rows and columns in the order of KINDS."""


def test_the_rule_equals_the_measured_matrix_in_all_36_cells() -> None:
    rows = MATRIX.strip("\n").splitlines()
    cells = [
        (a, b, rows[i][j] == "D")
        for (i, a), (j, b) in itertools.product(enumerate(KINDS), repeat=2)
        if j >= i
    ]
    assert len(cells) == 36
    for a, b, direct in cells:
        assert can_call_directly(KINDS[a], KINDS[b]) is direct, (a, b)
        assert can_call_directly(KINDS[b], KINDS[a]) is direct, (b, a)


@pytest.mark.parametrize(
    ("me", "direct"),
    [
        (behaviour(True, EIF), Reach.EVERYONE),
        (behaviour(False, EIF), Reach.EVERYONE),
        (behaviour(True, ADF), Reach.EVERYONE),
        (behaviour(True, APDF), Reach.MOST),
        (behaviour(True, APDF, nat=False), Reach.MOST),
        (behaviour(False, APDF), Reach.SOME),
        (behaviour(False, ADF), Reach.SOME),
        (behaviour(True, None), Reach.MOST),
        (behaviour(False, None), Reach.SOME),
        (behaviour(None, EIF), Reach.EVERYONE),
        (behaviour(None, APDF), Reach.UNKNOWN),
        (behaviour(None, None), Reach.UNKNOWN),
        (Behaviour(False, None, None, None), Reach.NONE),
        (Behaviour(None, None, None, None), Reach.UNKNOWN),
    ],
)
def test_the_verdict_follows_the_behaviour(me: Behaviour, direct: Reach) -> None:
    assert judge(me).direct is direct


def test_the_verdict_agrees_with_the_matrix() -> None:
    for me in KINDS.values():
        reached = [can_call_directly(me, peer) for peer in KINDS.values()]
        verdict = judge(me).direct
        assert all(reached) == (verdict is Reach.EVERYONE)


def test_what_is_not_known_of_one_side_is_not_guessed() -> None:
    unknown = behaviour(True, None)
    assert can_call_directly(unknown, KINDS["full cone"]) is True
    assert can_call_directly(unknown, KINDS["port-restricted"]) is True
    assert can_call_directly(unknown, KINDS["symmetric, random"]) is None
    assert can_call_directly(Behaviour(False, None, None, None), unknown) is False


def test_without_filtering_the_summary_says_that_it_was_not_measured() -> None:
    assert "could not be measured" in judge(behaviour(True, None)).summary


@pytest.mark.parametrize("me", [*KINDS.values(), Behaviour(False, None, None, None)])
def test_whoever_is_not_reached_is_named_with_what_would_help(me: Behaviour) -> None:
    verdict = judge(me)
    if verdict.direct is not Reach.EVERYONE:
        assert verdict.needs_relay
        assert verdict.improve


@pytest.mark.parametrize(
    ("nat", "mapping", "filtering", "name"),
    [
        (True, EI, EIF, "Full Cone"),
        (True, EI, ADF, "Restricted Cone"),
        (True, EI, APDF, "Port Restricted Cone"),
        (True, APD, APDF, "Symmetric"),
        (True, AD, EIF, "Symmetric"),
        (True, APD, None, "Symmetric"),
        (False, EI, EIF, "Open Internet"),
        (False, EI, APDF, "Symmetric UDP Firewall"),
        (True, EI, None, None),
        (False, EI, None, None),
        (None, EI, EIF, None),
        (True, None, EIF, None),
    ],
)
def test_rfc3489_names_are_given_only_where_they_fit(
    nat: bool | None, mapping: Mapping | None, filtering: Filtering | None, name: str | None
) -> None:
    assert rfc3489_name(nat, mapping, filtering) == name
