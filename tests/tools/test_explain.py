"""The topics themselves: complete, cross-referenced, and found by what people call them."""

from __future__ import annotations

import re

import pytest

from natkit.aio.turn_failure import EXPLAINED
from natkit.errors import NatkitError, UsageError
from natkit.tools.explain import Topic, find, topics

PROMISED = [
    *("symmetric-nat", "port-restricted", "full-cone", "mapping", "filtering", "hairpinning"),
    *("cgnat", "double-nat", "udp-blocked", "stun", "turn", "ice", "401", "420", "437", "438"),
    *("port-preservation", "port-mapping", "relay", "binding-lifetime", "pooling", "alg", "ipv6"),
    *("exit-codes", "verdict", "not-measured", "environment"),
]


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_topic_exists(name: str):
    assert find(name).name == name


@pytest.mark.parametrize("topic", topics().values(), ids=lambda topic: topic.name)
def test_a_topic_is_short_and_its_references_lead_somewhere(topic: Topic):
    assert set(topic.see) <= set(topics()) - {topic.name}
    assert topic.title
    assert 3 <= len(topic.text.splitlines()) <= 30
    assert all(len(line) <= 80 for line in topic.text.splitlines())
    if topic.name not in ("exit-codes", "environment"):
        assert re.search(r"RFC \d{4}", topic.rfc)


def test_every_error_of_a_turn_server_that_sends_people_here_is_explained():
    assert {str(code) for code in EXPLAINED} <= set(topics())


def test_no_name_means_two_topics():
    names = [n for topic in topics().values() for n in (topic.name, *topic.aliases)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Symmetric NAT", "symmetric-nat"),
        ("PORT_RESTRICTED CONE", "port-restricted"),
        ("restricted cone", "address-restricted"),
        ("open internet", "open-internet"),
        ("symmetric udp firewall", "open-internet"),
        ("natpmp", "port-mapping"),
        ("carrier-grade nat", "cgnat"),
        ("hairpining", "hairpinning"),
        ("endpoint-independent filtering", "filtering"),
    ],
)
def test_a_topic_is_found_by_what_people_call_it(query: str, name: str):
    assert find(query).name == name


def test_what_is_not_there_is_a_usage_error_with_suggestions():
    with pytest.raises(UsageError) as caught:
        find("port foo")
    assert caught.value.hint is not None
    assert "port-mapping" in caught.value.hint or "port-preservation" in caught.value.hint


def test_what_resembles_nothing_points_to_the_list():
    with pytest.raises(UsageError) as caught:
        find("zzz")
    assert caught.value.hint == "List: natkit explain"


def test_every_exit_code_of_an_error_is_explained():
    def codes(kind: type[NatkitError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(sub) for sub in kind.__subclasses__()))

    explained = {int(n) for n in re.findall(r"^  (\d+) ", find("exit-codes").text, re.MULTILINE)}
    assert codes(NatkitError) | {0, 130} == explained
