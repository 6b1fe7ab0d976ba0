"""Five hundred connections at once, both sides in one process, on loopback."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from pathlib import Path

import pytest

import natkit
from natkit.ice import consent
from natkit.ice.events import State

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc"),
]

PAIRS = 500
SOCKETS = 2 * PAIRS

Pair = tuple[natkit.Connection, natkit.Connection]


@pytest.fixture(autouse=True)
def room_for_their_sockets() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, and no more than {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def crowd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Pair]]:
    """All pairs, connected; who is not asked for consent every two seconds is lost after twelve."""
    asyncio.get_running_loop().set_debug(False)  # tracks where each of so many handles was made
    monkeypatch.setattr(consent, "INTERVAL", 2.0)
    monkeypatch.setattr(consent, "EXPIRY", 12.0)
    pairs = [await introduced() for _ in range(PAIRS)]
    await asyncio.gather(*(side.connect() for side in chain(*pairs)))
    yield pairs
    await asyncio.gather(*(side.close() for side in chain(*pairs)))


async def introduced() -> Pair:
    a, b = (natkit.Connection(role, interfaces=["lo"], use_ipv6=False) for role in (True, False))
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    for side, other in ((a, b), (b, a)):
        side.remote_username, side.remote_password = other.local_username, other.local_password
        for candidate in (*other.local_candidates, None):
            await side.add_remote_candidate(candidate)
    return a, b


async def talk(number: int, pair: Pair) -> None:
    """Have each side say something that no other pair says."""
    for ours, theirs in (pair, pair[::-1]):
        await ours.send(b"%d" % number)
        assert await theirs.recv() == b"%d" % number


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_all_connect_carry_data_and_go_on_consenting(crowd: list[Pair]):
    async with asyncio.timeout(100):
        await asyncio.gather(*(talk(number, pair) for number, pair in enumerate(crowd)))
        sides = list(chain(*crowd))
        before = {side: answered(side) for side in sides}
        await asyncio.sleep(13)  # longer than consent lasts
        assert {side.state for side in sides} == {State.COMPLETED}
        assert min(answered(side) - before[side] for side in sides) >= 3
        await asyncio.gather(*(talk(number, pair) for number, pair in enumerate(crowd)))


def answered(side: natkit.Connection) -> int:
    return sum(int(pair["checks_answered"]) for pair in side.report()["pairs"])


async def test_closing_them_frees_sockets_tasks_and_memory(crowd: list[Pair]):
    opened, tasks = descriptors(), len(asyncio.all_tasks())
    assert tasks == 1, "a connection that is up needs no task"
    left = weakref.WeakSet(chain(*crowd))
    began = time.process_time()
    await asyncio.gather(*(side.close() for side in chain(*crowd)))
    assert time.process_time() - began < 2
    assert opened - descriptors() == SOCKETS
    assert len(asyncio.all_tasks()) == tasks
    crowd.clear()
    await asyncio.sleep(0)
    gc.collect()
    assert not left
