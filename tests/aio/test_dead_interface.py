"""Gathering on a host of which one interface leads nowhere, in a namespace with a real one."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

import pytest

import natkit
from natkit.ice.inquiry import GRACE
from scripts.benchmarks._ice_dead import DEAD, LIVE, measured

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "nft", "ip")]

ROUNDS = 15


async def gathering(stun: list[tuple[str, int]], expected: dict[str, int]) -> float:
    """Return how long gathering takes; `expected` says how many of which kind it has to find."""
    connection = natkit.Connection(True, stun_servers=stun)
    began = time.perf_counter()
    await connection.gather_candidates()
    took = time.perf_counter() - began
    assert Counter(str(candidate.type) for candidate in connection.local_candidates) == expected
    for inquiry in connection.report()["inquiries"]:
        answers = (inquiry["interface"], inquiry["server"]) == ("eth0", f"stun:{LIVE[0]}:{LIVE[1]}")
        assert (inquiry["error"] is None) is answers, inquiry
    await connection.close()
    return took


def test_dead_server_and_dead_interface_delay_gathering_no_more_than_their_sockets_take():
    alone = partial(gathering, [LIVE], {"host": 1, "srflx": 1})
    beside = partial(gathering, [DEAD, LIVE], {"host": 2, "srflx": 1})
    without, with_dead = measured([alone] * ROUNDS, [beside] * ROUNDS)
    assert min(with_dead) < min(without) + GRACE
