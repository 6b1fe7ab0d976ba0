"""What an ICE report shows beyond the matrix: failed servers, policies, lost peers, bad input."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest

import natkit
from natkit.errors import UsageError
from natkit.lab.homes import HOMES
from natkit.lab.scenarios import SCENARIOS
from natkit.nat.behaviour import Filtering
from natkit.nat.verdict import Behaviour
from natkit.tools.path_entries import PathKind
from natkit.tools.path_improve import Change
from natkit.tools.path_side import KnownNat, Side
from natkit.tools.path_values import Missed, PathExplanation
from natkit.tools.report import to_json
from tests.ice.homes import server
from tests.tools.path_calls import BOTH, DEAD, FULL, ONE, between, refused, reports
from tests.tools.path_grid import explained, outcome, probed


def missed(explanation: PathExplanation, kind: PathKind) -> Missed:
    (found,) = (it for it in explanation.missed if it.kind is kind)
    return found


def causes(explanation: PathExplanation, kind: PathKind) -> list[str]:
    return [f"{f.side.value}: {f.cause.value}" for f in missed(explanation, kind).faults]


def changes(explanation: PathExplanation) -> set[tuple[Side, Change]]:
    return {(it.side, it.change) for it in explanation.improve}


# -- servers ------------------------------------------------------------------------------------


def test_dead_stun_server_is_named_and_udp_is_not_called_blocked():
    options = {"stun_servers": [DEAD], "turn_servers": [server()]}
    ours, _ = reports(between("port-restricted", "port-restricted"), options, FULL)
    explanation = natkit.explain_path(ours)
    assert explanation.kind is PathKind.RELAYED
    assert causes(explanation, PathKind.THROUGH_NAT) == ["local: stun-unanswered"]
    assert "stun:203.0.113.250: no answer to 3 requests" in explanation.paragraph
    assert "blocked" not in explanation.paragraph, "the relay answered over UDP"
    assert changes(explanation) == {
        (Side.LOCAL, Change.ANOTHER_STUN_SERVER),
        (Side.REMOTE, Change.MAP_A_PORT),
    }


def test_one_silent_stun_server_leaves_open_whether_udp_is_blocked():
    options = {"stun_servers": [DEAD], "turn_servers": [server("tcp")]}
    ours, _ = reports(between("port-restricted", "port-restricted"), options, FULL)
    explanation = natkit.explain_path(ours)
    assert causes(explanation, PathKind.THROUGH_NAT) == ["local: stun-unanswered"]
    assert "whether UDP is blocked or the servers are away is unknown" in explanation.paragraph


def test_no_stun_server_asked_is_told_by_the_own_report_and_not_guessed_from_the_other():
    options = {"turn_servers": [server()]}
    ours, theirs = reports(between("port-restricted", "port-restricted"), options, FULL)
    by_itself = natkit.explain_path(ours)
    assert causes(by_itself, PathKind.THROUGH_NAT) == ["local: stun-not-asked"]
    by_peer = natkit.explain_path(theirs)
    assert causes(by_peer, PathKind.THROUGH_NAT) == ["remote: no-reflexive-candidate"]
    assert "only its own report can say" in by_peer.paragraph
    by_both = natkit.explain_path(theirs, remote_report=ours)
    assert causes(by_both, PathKind.THROUGH_NAT) == ["remote: stun-not-asked"]


def test_other_sides_known_filter_is_named_beside_the_missing_address():
    options = {"turn_servers": [server()]}
    ours, _ = reports(between("port-restricted", "port-restricted"), options, FULL)
    explanation = natkit.explain_path(ours, remote_nat=probed("port-restricted"))
    found = causes(explanation, PathKind.THROUGH_NAT)
    assert found == ["local: stun-not-asked", "remote: port-filter"]


def test_symmetric_nat_is_seen_with_one_stun_server_by_what_a_relay_sees():
    options = {"stun_servers": [ONE], "turn_servers": [server()]}
    ours, theirs = reports(between("port-restricted", "symmetric"), options, options)
    by_peer = natkit.explain_path(ours)
    assert causes(by_peer, PathKind.THROUGH_NAT)[0] == "remote: port-per-destination"
    assert "and came to a relay from 203.0.113.101:" in by_peer.paragraph
    by_itself = natkit.explain_path(theirs)
    assert causes(by_itself, PathKind.THROUGH_NAT)[0] == "local: port-per-destination"
    assert "by STUN and at 203.0.113.101:" in by_itself.paragraph


def test_another_port_at_a_relay_may_be_another_socket_of_a_peer_with_two_addresses():
    options = {"stun_servers": [ONE], "turn_servers": [server()]}
    ours, _ = reports(between("port-restricted", "symmetric"), options, options)
    (host,) = (it for it in ours["remote"] if it["type"] == "host")
    ours["remote"].append({**host, "address": "10.0.2.3"})
    found = causes(natkit.explain_path(ours), PathKind.THROUGH_NAT)
    assert found == ["local: unknown", "remote: unknown"]


@pytest.mark.parametrize("hidden", [["0.0.0.0", 9], ["::", 0], ["a.local", 5], ["0.0.0.0", None]])
def test_hidden_bases_are_not_taken_for_one_that_two_servers_see_differently(hidden: list[Any]):
    report = copy.deepcopy(outcome("port-restricted", "symmetric").reports[0])
    report["remote"] = [it for it in report["remote"] if it["type"] != "prflx"]
    report["pairs"] = [it for it in report["pairs"] if not it["remote"].startswith("prflx")]
    for candidate in report["remote"]:
        candidate["related"] = candidate["related"] and hidden
    assert causes(natkit.explain_path(report), PathKind.THROUGH_NAT) == [
        "local: unknown",
        "remote: unknown",
    ]


@pytest.mark.parametrize("told_by", ["local", "remote"])
def test_stun_server_within_the_network_does_not_make_a_nat_symmetric(told_by: str):
    ours, theirs = copy.deepcopy(outcome("port-restricted", "symmetric").reports)
    report, candidate = {"local": (ours, "10.0.1.2:46255"), "remote": (theirs, None)}[told_by]
    if candidate is not None:
        report["inquiries"][0]["found"] = f"srflx {candidate}"
    else:
        within = copy.deepcopy(report["remote"][1])
        report["remote"].append({**within, "address": "10.0.9.9", "port": 9})
    found = causes(natkit.explain_path(report), PathKind.THROUGH_NAT)
    assert f"{told_by}: port-per-destination" not in found
    assert f"{told_by}: unknown" in found


def test_port_that_the_gateway_maps_does_not_make_a_nat_symmetric():
    report = copy.deepcopy(outcome("symmetric", "port-restricted").reports[0])
    (seen,) = (it for it in report["remote"] if it["type"] == "srflx")
    report["remote"].append({**seen, "port": 4000, "priority": seen["priority"] + (5 << 24)})
    found = causes(natkit.explain_path(report), PathKind.THROUGH_NAT)
    assert "remote: port-per-destination" not in found


def test_port_that_is_mapped_in_vain_is_told_and_not_advised_again():
    report = copy.deepcopy(outcome("symmetric", "symmetric").reports[0])
    asked = {**report["inquiries"][0], "kind": "gateway", "server": "10.0.1.1 by PCP"}
    report["inquiries"].append({**asked, "found": "srflx 203.0.113.100:4000"})
    explanation = natkit.explain_path(report, local_nat=KnownNat(HOMES["symmetric"].behaviour, 1))
    assert "gateway maps 203.0.113.100:4000, and yet nothing came in" in explanation.paragraph
    assert (Side.LOCAL, Change.MAP_A_PORT) not in changes(explanation)
    assert (Side.REMOTE, Change.MAP_A_PORT) in changes(explanation)


# -- relays -------------------------------------------------------------------------------------


def test_refused_relay_and_a_peer_that_asked_none_are_why_a_call_fails():
    ours, theirs = refused()
    explanation = natkit.explain_path(ours, remote_report=theirs)
    assert (explanation.kind, explanation.won) == (PathKind.FAILED, None)
    assert causes(explanation, PathKind.RELAYED) == [
        "local: relay-refused",
        "remote: relay-not-asked",
    ]
    assert "with 401" in explanation.paragraph
    assert causes(explanation, PathKind.THROUGH_NAT) == [
        "local: port-per-destination",
        "local: unknown",
        "remote: unknown",  # its second STUN server was not waited for
    ]
    assert (Side.REMOTE, Change.ADD_A_RELAY) in changes(explanation)


def test_why_the_peer_has_no_relay_is_not_guessed():
    ours, _ = refused()
    assert causes(natkit.explain_path(ours), PathKind.RELAYED) == [
        "local: relay-refused",
        "remote: no-relayed-candidate",
    ]


@pytest.mark.parametrize("policy", ["all", "no-relay"])
def test_silent_relay_and_one_not_asked_are_told_apart(policy: str):
    dead = natkit.TurnServer("turn:203.0.113.250", "u", "p")
    alice: dict[str, Any] = {"stun_servers": BOTH, "turn_servers": [dead]}
    if policy == "no-relay":
        alice["transport_policy"] = natkit.TransportPolicy.NO_RELAY
    ours, _ = reports(between("symmetric", "symmetric"), alice, {"stun_servers": BOTH})
    expected = "relay-unreachable" if policy == "all" else "relay-not-asked"
    assert causes(natkit.explain_path(ours), PathKind.RELAYED)[0] == f"local: {expected}"


def test_relay_over_tcp_by_choice_is_no_blocked_udp():
    alice = {"stun_servers": BOTH, "turn_servers": [server("tcp")]}
    ours, _ = reports(between("symmetric", "symmetric"), alice, {"stun_servers": BOTH})
    explanation = natkit.explain_path(ours)
    (relay,) = explanation.relays
    assert (relay.side, relay.transport) == (Side.LOCAL, "tcp")
    assert causes(explanation, PathKind.RELAYED) == ["local: relay-not-asked"]
    assert "is not reached over UDP: this side asked no TURN server over UDP" in (
        explanation.paragraph
    )


def test_relay_only_policy_is_the_cause_where_nothing_else_was_asked():
    alice = {**FULL, "transport_policy": natkit.TransportPolicy.RELAY}
    ours, theirs = reports(between("none", "none"), alice, FULL)
    explanation = natkit.explain_path(ours)
    for kind in (PathKind.SAME_NETWORK, PathKind.DIRECT, PathKind.THROUGH_NAT):
        assert causes(explanation, kind) == ["local: only-relayed-candidates"]
    assert "offers relayed candidates alone, and asked for no others" in explanation.paragraph
    assert changes(explanation) == {(Side.LOCAL, Change.ALLOW_DIRECT)}
    by_peer = natkit.explain_path(theirs)
    assert causes(by_peer, PathKind.THROUGH_NAT) == ["remote: only-relayed-candidates"]
    assert "asked for no others" not in by_peer.paragraph, "B cannot know"


# -- other paths, and none ----------------------------------------------------------------------


def test_hosts_of_one_network_talk_in_it():
    topology = SCENARIOS["home"].topology
    ours, _ = reports(topology, FULL, FULL, hosts=("alice", "carol"))
    explanation = natkit.explain_path(ours, names=("A", "B"))
    assert (explanation.kind, explanation.missed) == (PathKind.SAME_NETWORK, ())
    assert explanation.paragraph.startswith("A and B talk directly, in one network: A at 10.0.1.2:")


def test_ipv6_path_past_a_nat_is_direct():
    ours, _ = reports(SCENARIOS["dual-stack"].topology, FULL, FULL)
    explanation = natkit.explain_path(ours)
    assert explanation.kind is PathKind.DIRECT
    assert ours["pairs"][0]["local"].startswith("host [2001:db8:1::2]:")


def test_path_over_tcp_is_direct_and_says_why_it_is_not_udp():
    alice, bob = {**FULL, "tcp": ["active"]}, {**FULL, "tcp": ["passive"]}
    alice["turn_servers"] = [server(), server("tcp")]
    ours, theirs = reports(between("udp-blocked", "none"), alice, bob)
    explanation = natkit.explain_path(ours, remote_report=theirs, names=("A", "B"))
    assert explanation.kind is PathKind.THROUGH_NAT
    assert explanation.as_json()["path"]["transport"] == "tcp"
    assert explanation.paragraph.startswith("A and B talk directly over TCP, through NAT: A at ")
    assert causes(explanation, PathKind.THROUGH_NAT) == ["local: udp-blocked"]
    assert "Not over UDP: no UDP gets out of A's network" in explanation.paragraph


def test_peer_without_candidates_is_why_nothing_works():
    ours, _ = reports(between("none", "none"), FULL, FULL, silent=True)
    explanation = natkit.explain_path(ours)
    assert explanation.kind is PathKind.FAILED
    assert {tuple(causes(explanation, it.kind)) for it in explanation.missed} == {
        ("remote: no-candidates",)
    }
    assert explanation.paragraph == (
        "This side and the peer found no path. The peer told no candidate at all."
    )


@pytest.mark.parametrize(("patience", "kind"), [(30, PathKind.UNDECIDED), (60, PathKind.FAILED)])
def test_wrong_password_is_why_nothing_works(patience: float, kind: PathKind):
    ours, _ = reports(between("none", "none"), FULL, FULL, password="wrong" * 5, patience=patience)
    explanation = natkit.explain_path(ours)
    assert explanation.kind is kind
    assert causes(explanation, PathKind.DIRECT) == ["both: wrong-password"]
    assert explanation.paragraph.endswith(
        "Answers came that the peer's password does not sign, so the two sides disagree on it."
    )


def test_peer_that_fell_silent_is_no_nat():
    ours, _ = reports(between("full-cone", "full-cone"), FULL, FULL, leaves=True)
    explanation = natkit.explain_path(ours)
    assert explanation.kind is PathKind.FAILED
    assert explanation.won is not None, "there was a path"
    assert causes(explanation, PathKind.THROUGH_NAT) == ["both: peer-silent"]
    assert "lost contact" in explanation.paragraph


def test_failure_of_another_component_is_not_taken_for_a_silent_peer():
    report = copy.deepcopy(outcome("full-cone", "full-cone").reports[0])
    report.update(state="failed", reason="no pair of candidates works")
    explanation = natkit.explain_path(report)
    assert causes(explanation, PathKind.THROUGH_NAT) == ["both: unknown"]
    assert "another one failed" in explanation.paragraph


def test_report_of_a_search_that_goes_on_names_no_cause():
    report = copy.deepcopy(outcome("symmetric", "symmetric").reports[0])
    report.update(state="checking", selected=[])
    explanation = natkit.explain_path(report)
    assert (explanation.kind, explanation.missed) == (PathKind.UNDECIDED, ())
    assert explanation.paragraph == "This side and the peer are still looking for a path."


def test_mdns_name_that_nobody_answers_for_is_why_there_is_no_common_network():
    report = copy.deepcopy(outcome("full-cone", "full-cone").reports[0])
    report["unresolved"] = ["host abc.local:5000"]
    report["remote"] = [it for it in report["remote"] if it["type"] != "host"]
    explanation = natkit.explain_path(report)
    assert causes(explanation, PathKind.SAME_NETWORK) == ["remote: name-not-found"]
    assert "host abc.local:5000" in explanation.paragraph


def test_both_behind_one_public_address_is_no_proof_of_two_networks():
    report = copy.deepcopy(outcome("full-cone", "full-cone").reports[0])
    for candidate in report["remote"]:
        candidate["address"] = candidate["address"].replace("203.0.113.101", "203.0.113.100")
        if candidate["type"] == "relay":
            candidate["related"][0] = "203.0.113.100"
    explanation = natkit.explain_path(report)
    assert causes(explanation, PathKind.SAME_NETWORK) == ["both: unknown"]


# -- why it won ---------------------------------------------------------------------------------


def test_winner_is_told_with_its_place_among_those_that_work():
    won = explained("port-restricted", "symmetric", measured=False).won
    assert won is not None
    assert won.nominated_by is Side.LOCAL
    assert (won.rank, won.first) == (1, True)
    working = [
        p
        for p in outcome("port-restricted", "symmetric").reports[0]["pairs"]
        if p["state"] == "succeeded"
    ]
    assert won.working == len(working) > 1
    assert won.pair.priority == max(pair["priority"] for pair in working)


def test_peer_that_nominated_is_named():
    won = explained("full-cone", "symmetric", measured=False, seen_by="B").won
    assert won is not None
    assert won.nominated_by is Side.REMOTE


def test_evidence_counts_the_checks_of_both_sides():
    explanation = explained("port-restricted", "symmetric", measured=False)
    found = missed(explanation, PathKind.THROUGH_NAT)
    assert (found.checks.sent, found.checks.answered, found.checks.received) == (6, 0, 0)
    assert found.peer_checks is not None
    assert (found.peer_checks.sent, found.peer_checks.received) == (4, 0)


# -- what was measured --------------------------------------------------------------------------


def test_probe_report_its_json_and_the_behaviour_say_the_same():
    ours, theirs = outcome("symmetric-adf", "double").reports
    in_all_forms = [
        natkit.explain_path(ours, local_nat=a, remote_nat=b, remote_report=theirs).as_json()
        for a, b in (
            (probed("symmetric-adf"), probed("double")),
            (to_json(probed("symmetric-adf")), to_json(probed("double"))),
            (
                KnownNat(HOMES["symmetric-adf"].behaviour, 1),
                KnownNat(HOMES["double"].behaviour, 2),
            ),
        )
    ]
    assert in_all_forms[0] == in_all_forms[1] == in_all_forms[2]


def test_second_nat_makes_a_port_mapping_at_home_useless():
    found = changes(explained("symmetric", "double", measured=True))
    assert (Side.LOCAL, Change.MAP_A_PORT) in found
    assert (Side.REMOTE, Change.GET_AN_ADDRESS) in found
    assert (Side.REMOTE, Change.MAP_A_PORT) not in found


def test_filter_without_a_nat_is_called_a_firewall():
    ours, _ = outcome("none", "udp-blocked").reports
    report = copy.deepcopy(ours)
    strict = Filtering.ADDRESS_AND_PORT_DEPENDENT
    firewalled = Behaviour(udp=True, steady=True, filtering=strict, nat=False)
    explanation = natkit.explain_path(report, local_nat=firewalled, names=("A", "B"))
    assert "A's firewall filters by port" in explanation.paragraph


def test_nats_that_should_have_let_the_call_through_are_not_blamed():
    ours, _ = outcome("port-restricted", "double").reports
    report = copy.deepcopy(ours)
    report.update(state="failed", selected=[])
    known = KnownNat(HOMES["double"].behaviour, 2)
    explanation = natkit.explain_path(report, local_nat=known, remote_nat=known)
    assert causes(explanation, PathKind.THROUGH_NAT) == ["both: unknown"]
    assert "why is unknown" in explanation.paragraph.lower()


def test_what_the_call_shows_goes_before_what_was_measured_elsewhere():
    ours, _ = outcome("symmetric", "port-restricted").reports
    at_home = KnownNat(HOMES["port-restricted"].behaviour, 1)
    explanation = natkit.explain_path(ours, local_nat=at_home)
    assert causes(explanation, PathKind.THROUGH_NAT)[0] == "local: port-per-destination"


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"schema": "natkit.ice/2"}, {"schema": "natkit.probe/1"}]
)
def test_what_is_no_ice_report_is_refused_by_its_schema(document: Any):
    with pytest.raises(UsageError, match="no ICE report"):
        natkit.explain_path(document)


@pytest.mark.parametrize("member", ["state", "local", "remote", "pairs", "selected", "inquiries"])
@pytest.mark.parametrize("value", [None, 7, [{}], [7]])
def test_damaged_ice_report_is_refused_in_words(member: str, value: Any):
    report = copy.deepcopy(outcome("none", "none").reports[0])
    report[member] = value
    with pytest.raises(UsageError, match="damaged"):
        natkit.explain_path(report)


@pytest.mark.parametrize("text", ["", "host", "host 1.2.3.4", "host 1.2.3.4:x"])
def test_pair_of_a_damaged_candidate_is_refused_in_words(text: str):
    report = copy.deepcopy(outcome("none", "none").reports[0])
    report["pairs"][0]["local"] = text
    with pytest.raises(UsageError, match="damaged"):
        natkit.explain_path(report)


def test_report_with_anything_anywhere_is_explained_or_refused_in_words():
    odd = [None, -1, 2.5, "", "x", "host a.b:1", "relay [::1]:7", [], {}, True]
    refusals = 0
    for seed in range(400):
        random = Random(seed)
        report = copy.deepcopy(random.choice(outcome("port-restricted", "symmetric").reports))
        place: Any = report
        while isinstance(place, (dict, list)) and place:
            inner = place
            key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = place[key]
        inner[key] = random.choice(odd)
        try:
            assert natkit.explain_path(report).paragraph
        except UsageError:
            refusals += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {key} = {inner[key]!r}") from error
    assert 0 < refusals < 400


def test_probe_report_is_checked_as_well():
    ours, _ = outcome("none", "none").reports
    with pytest.raises(UsageError, match="no probe's report"):
        natkit.explain_path(ours, local_nat={"schema": "natkit.ice/1"})
    with pytest.raises(UsageError, match="damaged"):
        natkit.explain_path(ours, local_nat={"schema": "natkit.probe/1"})
