"""Programs between two homes of the lab, and what the lab tells about their packets."""

from __future__ import annotations

import asyncio

import pytest

from natkit.aio.connection import Connection, TransportPolicy
from natkit.errors import UsageError
from natkit.lab.call import talk, tell
from natkit.lab.stage import Drop, Stage, kinds_of, on_stage


async def connect(stage: Stage, policy: TransportPolicy) -> tuple[Connection, Connection]:
    a, b = (
        Connection(
            controls,
            stun_servers=stage.stun,
            turn_servers=stage.turn,
            transport_policy=policy,
            network=stage.network(name),
        )
        for name, controls in (("alice", True), ("bob", False))
    )
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    await asyncio.gather(a.connect(), b.connect())
    return a, b


def test_the_relay_tells_what_it_has_carried():
    async def play(stage: Stage) -> tuple[int, int]:
        a, b = await connect(stage, TransportPolicy.RELAY)
        before = stage.carried.to_peers_bytes
        await talk(a, b)
        carried = stage.carried.to_peers_bytes - before
        await asyncio.gather(a.close(), b.close())
        return before, carried

    before, carried = on_stage("symmetric-vs-symmetric", play)
    assert before > 0  # checks are relayed, too
    assert carried >= len(b"hello")


def test_where_packets_ended_is_told():
    async def play(stage: Stage) -> list[Drop]:
        with pytest.raises(ConnectionError):
            await connect(stage, TransportPolicy.NO_RELAY)
        assert stage.drops is not None
        return stage.drops

    drops = on_stage("symmetric-vs-symmetric", play)
    assert {drop.node for drop in drops} == {"r-alice", "r-bob"}
    assert any("no mapping" in drop.why or "filtered" in drop.why for drop in drops)
    assert not any("dropped" in drop.why for drop in drops)


def test_a_pair_is_named_by_its_kinds():
    assert kinds_of("home-vs-symmetric") == ("port-restricted", "symmetric")
    assert kinds_of("udp-blocked-vs-none") == ("udp-blocked", "none")


@pytest.mark.parametrize("pair", ["home", "home-vs-", "home-vs-moon", "a-vs-b-vs-none"])
def test_a_pair_that_is_none_is_refused_with_those_there_are(pair: str):
    with pytest.raises(UsageError) as refused:
        kinds_of(pair)
    assert "symmetric" in str(refused.value.hint)
