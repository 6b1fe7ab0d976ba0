"""The packets drawn in the documents, and the calls they are drawn from, against the verdict."""

from __future__ import annotations

import itertools

import pytest

from natkit.lab.topology import World
from natkit.nat.behaviour import Mapping
from natkit.nat.verdict import Behaviour, can_call_directly
from scripts.calls import Call, between, call, converse, nat_of
from scripts.packet_docs import KINDS, MARK, TARGET, refreshed

PAIRS = list(itertools.combinations_with_replacement(KINDS, 2))


def behaviour(kind: str) -> Behaviour:
    nat = nat_of(kind)
    steady = nat.mapping is Mapping.ENDPOINT_INDEPENDENT
    return Behaviour(udp=True, steady=steady, filtering=nat.filtering, nat=True)


def rule(a: str, b: str) -> bool | None:
    return can_call_directly(behaviour(a), behaviour(b))


def test_the_drawings_are_what_the_simulator_does():
    document = TARGET.read_text(encoding="utf-8")
    assert document == refreshed(document), f"{TARGET.name} is stale: run scripts/gen-docs"


def test_every_mark_has_a_drawing():
    document = TARGET.read_text(encoding="utf-8")
    marks = document.count("<!-- packets:") + document.count("<!-- matrix")
    assert len(MARK.findall(document)) == marks == 5


@pytest.mark.parametrize(("a", "b"), [*PAIRS, *((b, a) for a, b in PAIRS if a != b)])
def test_a_simulated_call_goes_as_the_verdict_says(a: str, b: str):
    assert call(a, b).direct == rule(a, b)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.needs("root", "nft")
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_call_between_linux_nats_goes_as_the_verdict_says(a: str, b: str):
    from natkit.lab import netns

    async def main(world: World) -> Call:
        made = Call()
        await converse(world, made)
        return made

    made = netns.run(between(nat_of(a), nat_of(b)), main)
    assert made.direct == rule(a, b)
