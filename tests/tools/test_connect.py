"""A call from code to pings, in the simulator: which path, what is told, how it ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from natkit.aio.connection import TransportPolicy
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.ice.credentials import Credentials
from natkit.rendezvous.description import Description
from natkit.rendezvous.ping import PingAnswered
from natkit.tools.connect import Stage, StageBegun
from natkit.tools.connect_manual import Pasting
from natkit.tools.connect_talk import Generation, Talk
from tests.tools.meeting import Outcome, Queues, meet, queues, wishes

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "schema" / "connect-1.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA)


@cache
def usual(a: str, b: str, *, manual: bool = False) -> Outcome:
    how = {"trickles": False, "derives": False} if manual else {}
    return meet(a, b, wishes(), **how)


@pytest.mark.parametrize("manual", [False, True], ids=["by code", "by hand"])
@pytest.mark.parametrize(
    ("a", "b", "path"),
    [
        ("port-restricted", "port-restricted", "direct"),
        ("none", "symmetric", "direct"),
        ("symmetric", "symmetric", "relayed"),
        ("none", "udp-blocked", "failed"),
    ],
)
def test_both_report_the_path_that_the_nats_allow(a: str, b: str, path: str, manual: bool):
    outcome = usual(a, b, manual=manual)
    assert (outcome.alice.path, outcome.bob.path) == (path, path)
    assert outcome.alice.exit_code == outcome.bob.exit_code == (3 if path == "failed" else 0)


def test_pings_take_the_round_trip_of_the_path():
    outcome = usual("port-restricted", "port-restricted")
    for report in (outcome.alice, outcome.bob):
        assert report.round_trips == pytest.approx([0.04, 0.04])
    answered = [event for event in outcome.events if isinstance(event, PingAnswered)]
    assert [event.number for event in answered] == [0, 1]


def test_stages_come_in_order():
    stages = [e for e in usual("none", "symmetric").events if isinstance(e, StageBegun)]
    assert stages == [
        StageBegun(Stage.WAITING, 0),
        StageBegun(Stage.CONNECTING, 1),
        StageBegun(Stage.PINGING, 1),
    ]


def test_it_ends_with_the_last_answer_and_not_with_a_timeout():
    assert usual("port-restricted", "port-restricted").seconds < 2


def test_without_a_path_the_reason_and_all_pairs_are_told():
    report = usual("none", "udp-blocked").alice
    assert report.reason == "no pair of candidates works"
    assert report.pair is None
    assert report.seconds is None
    assert report.pings == ()
    assert report.ice["pairs"]


def test_a_password_that_follows_from_the_code_is_never_told():
    assert all(part.password is None for part in usual("none", "symmetric").told)
    assert all(part.password for part in usual("none", "symmetric", manual=True).told)


def test_by_hand_all_is_told_at_once():
    [part] = usual("port-restricted", "port-restricted", manual=True).told
    assert part.end
    assert len(part.candidates) >= 3


def test_by_code_the_first_candidates_are_told_before_the_last_are_known():
    told = usual("port-restricted", "port-restricted").told
    assert len(told) > 1
    assert not told[0].end
    assert told[-1].end


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_lost_each_way_changes_no_path(seed: int):
    outcome = meet("port-restricted", "port-restricted", wishes(count=5), seed=seed, loss=0.1)
    assert outcome.alice.path == "direct"
    assert outcome.alice.exit_code == 0


def test_relay_policy_of_one_side_relays_the_call():
    only = wishes(policy=TransportPolicy.RELAY)
    outcome = meet("full-cone", "full-cone", only, wishes())
    assert outcome.alice.path == outcome.bob.path == "relayed"
    assert {candidate["type"] for candidate in outcome.alice.ice["local"]} == {"relay"}


def test_no_relay_policy_asks_for_none():
    without = wishes(policy=TransportPolicy.NO_RELAY)
    outcome = meet("full-cone", "full-cone", without)
    assert "relay" not in {candidate["type"] for candidate in outcome.alice.ice["local"]}
    assert outcome.alice.path == "direct"


def test_a_short_timeout_ends_the_search():
    outcome = meet("none", "udp-blocked", wishes(timeout=5.0))
    assert outcome.alice.reason == "no path was found in 5 s"
    assert outcome.seconds < 8


def test_who_sends_more_pings_is_answered_to_the_end():
    outcome = meet("none", "none", wishes(count=1), wishes(count=5))
    assert len(outcome.bob.round_trips) == 5


# Until direct.


@cache
def in_vain(wanting: str) -> Outcome:
    patient = wishes(until_direct=True, timeout=20.0)
    first, second = (patient, wishes()) if wanting == "alice" else (wishes(), patient)
    return meet("symmetric", "symmetric", first, second)


@pytest.mark.parametrize("wanting", ["alice", "bob"])
def test_one_who_wants_a_direct_path_is_enough_to_go_on(wanting: str):
    outcome = in_vain(wanting)
    assert outcome.alice.attempts == outcome.bob.attempts > 2
    assert 15 < outcome.seconds < 25


@pytest.mark.parametrize("wanting", ["alice", "bob"])
def test_who_has_wanted_it_in_vain_ends_with_5_and_the_other_with_0(wanting: str):
    outcome = in_vain(wanting)
    codes = {"alice": outcome.alice.exit_code, "bob": outcome.bob.exit_code}
    assert codes.pop(wanting) == 5
    assert list(codes.values()) == [0]
    assert outcome.alice.path == outcome.bob.path == "relayed"
    assert outcome.alice.round_trips


def test_a_direct_path_is_not_looked_for_again():
    outcome = meet("full-cone", "full-cone", wishes(until_direct=True))
    assert outcome.alice.attempts == 1
    assert outcome.alice.exit_code == 0


class Coy(Queues):
    """Tells of relays alone, at first: the peer's NAT does not let in whom it does not know."""

    async def tell(self, part: Description) -> None:
        if part.generation == 0:
            relays = tuple(line for line in part.candidates if "typ relay" in line)
            part = replace(part, candidates=relays)
        await super().tell(part)


def test_a_restart_finds_the_direct_path_that_the_first_attempt_has_missed():
    patient = wishes(until_direct=True)
    outcome = meet("port-restricted", "port-restricted", patient, kind=Coy)
    for report in (outcome.alice, outcome.bob):
        assert (report.path, report.attempts, report.exit_code) == ("direct", 2, 0)
    assert outcome.alice.round_trips == pytest.approx([0.04, 0.04])


def test_without_the_wish_the_first_path_stays():
    outcome = meet("port-restricted", "port-restricted", wishes(), kind=Coy)
    assert (outcome.alice.path, outcome.alice.attempts) == ("relayed", 1)


def test_rests_between_attempts_grow():
    rests = [e for e in in_vain("alice").events if isinstance(e, StageBegun)]
    assert [e.stage for e in rests[:4]] == [
        Stage.WAITING,
        Stage.CONNECTING,
        Stage.RESTING,
        Stage.CONNECTING,
    ]
    assert len([e for e in rests if e.stage is Stage.CONNECTING]) <= 5


# Trouble.


class Broken(Queues):
    """Signalling that ends at some time. Attributes: at: seconds, in the simulator's time."""

    at = 0.0

    async def hear(self) -> Description:
        try:
            async with asyncio.timeout_at(self.at):
                return await super().hear()
        except TimeoutError:
            raise NetworkUnreachable("the other side has left") from None


class BrokenLater(Broken):
    at = 1.0


def test_a_peer_that_leaves_at_once_is_an_error():
    with pytest.raises(NetworkUnreachable, match="has left"):
        meet("none", "none", wishes(), kind=Broken)


def test_a_peer_that_leaves_while_pairs_are_checked_leaves_a_report():
    outcome = meet("none", "udp-blocked", wishes(timeout=10.0), kind=BrokenLater)
    assert outcome.alice.path == "failed"
    assert outcome.alice.reason == "the other side has left"
    assert outcome.bob.reason == "no path was found in 10 s"


def test_signalling_that_breaks_takes_no_path_away():
    outcome = meet("none", "none", wishes(count=3), kind=BrokenLater)
    assert outcome.alice.exit_code == 0
    assert len(outcome.alice.round_trips) == 3


def test_signalling_that_breaks_ends_the_search_for_a_direct_path():
    patient = wishes(until_direct=True, timeout=30.0)
    outcome = meet("symmetric", "symmetric", patient, kind=BrokenLater)
    assert outcome.alice.path == "relayed"
    assert outcome.alice.attempts == 1


async def test_the_end_is_told_also_when_it_comes_while_something_is_being_told():
    """Else the peer would go on waiting for candidates."""
    generation = Generation(0, Credentials("abcd", "p" * 24))

    class Slow(Queues):
        async def tell(self, part: Description) -> None:
            await super().tell(part)
            talk.found(generation, None)

    signalling, _ = queues(Slow)
    talk = Talk(signalling, 0.0)
    async with asyncio.timeout(5):
        await talk.tell(generation)
    assert [part.end for part in signalling.told] == [False, True]


async def test_own_line_is_not_taken_for_the_peers():
    complaints: list[NatkitError] = []
    shown: list[str] = []
    answers: list[str] = []

    async def read() -> str:
        return answers.pop(0) if answers else ""

    pasting = Pasting(shown.append, read, complaints.append)
    await pasting.tell(Description(0, "ours", "p" * 24))
    answers += [shown[0] + "\n", "\n", "nonsense\n", Description(0, "theirs", "p" * 24).to_line()]
    assert (await pasting.hear()).ufrag == "theirs"
    assert [str(it).partition(":")[0] for it in complaints] == [
        "that is our own line. Paste the other side's",
        "malformed line",
    ]
    with pytest.raises(NatkitError, match="no line came"):
        await pasting.hear()


# The document.


@pytest.mark.parametrize(
    ("a", "b"),
    [("port-restricted", "port-restricted"), ("symmetric", "symmetric"), ("none", "udp-blocked")],
)
def test_the_document_fits_its_schema(a: str, b: str):
    Draft202012Validator.check_schema(SCHEMA)
    for document in usual(a, b).json:
        assert list(VALIDATOR.iter_errors(json.loads(json.dumps(document)))) == []


def test_the_document_says_what_was_found():
    document, _ = usual("symmetric", "symmetric").json
    assert document["path"] == "relayed"
    assert document["attempts"] == 1
    assert document["selected"]["local"].split()[0] == "relay" or (
        document["selected"]["remote"].split()[0] == "relay"
    )
    assert document["ping"]["sent"] == document["ping"]["received"] == 2
    assert document["ping"]["average_ms"] == pytest.approx(40.0)
    assert usual("none", "udp-blocked").json[0]["selected"] is None


@pytest.mark.parametrize("missing", SCHEMA["required"])
def test_the_schema_notices_what_is_missing(missing: str):
    document = {**usual("symmetric", "symmetric").json[0]}
    del document[missing]
    assert list(VALIDATOR.iter_errors(document))
