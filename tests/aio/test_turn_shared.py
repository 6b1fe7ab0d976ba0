"""The accounts that workers share: quotas and rates hold over all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from natkit.dataplane.rates import BURST
from natkit.turn.quota import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")
if sys.platform == "linux":
    from natkit.aio import turn_shared
    from natkit.aio.turn_shared import SharedAccounts, make_table

WORKERS = 3
TWO = Limits(allocations_per_user=2)


@pytest.fixture
def table() -> Iterator[int]:
    descriptor = make_table(WORKERS)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def view(table: int) -> Iterator[Callable[[int], SharedAccounts]]:
    made: list[SharedAccounts] = []

    def of_worker(number: int) -> SharedAccounts:
        made.append(SharedAccounts(table, number, WORKERS))
        return made[-1]

    yield of_worker
    for one in made:
        one.close()


def test_quota_of_a_user_counts_on_all_workers(view: Callable[[int], SharedAccounts]) -> None:
    one, other = view(0), view(2)
    assert one.take("alice", TWO) is None
    assert other.take("alice", TWO) is None
    assert one.take("alice", TWO) == other.take("alice", TWO) == 486
    assert one.take("bob", TWO) is None
    other.give("alice")
    assert one.take("alice", TWO) is None


def test_quota_in_total_counts_on_all_workers(view: Callable[[int], SharedAccounts]) -> None:
    limits = Limits(allocations=2)
    assert view(0).take("alice", limits) is None
    assert view(1).take("bob", limits) is None
    assert view(2).take("carol", limits) == 508


def test_what_a_dead_worker_had_is_given_back(view: Callable[[int], SharedAccounts]) -> None:
    dead, other = view(1), view(0)
    dead.take("alice", TWO)
    other.take("alice", TWO)
    other.clear(1)
    assert other.take("bob", Limits(allocations=2)) is None
    assert other.take("alice", TWO) is None
    assert other.take("alice", TWO) == 486


def test_user_for_whom_there_is_no_room_gets_508(
    view: Callable[[int], SharedAccounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_shared, "_SETS", 1)
    accounts = view(0)
    for number in range(turn_shared._WAYS):
        assert accounts.take(str(number), TWO) is None
    assert accounts.take("one more", TWO) == 508
    accounts.give("3")
    assert accounts.take("one more", TWO) is None


def test_rate_of_a_user_holds_over_workers(view: Callable[[int], SharedAccounts]) -> None:
    one, other = view(0), view(1)
    limits = [worker.of("alice", 1000) for worker in (one, other)]
    now = time.monotonic()
    passed = sum(limits[n % 2].up.take(10, now) for n in range(1000))
    assert passed * 10 == pytest.approx(1000, abs=2 * 1000 * turn_shared.LEASE)
    assert limits[0].down.take(10, now)
    later = sum(limits[n % 2].up.take(10, now + 0.5) for n in range(1000))
    assert later * 10 == pytest.approx(500, abs=2 * 1000 * turn_shared.LEASE)
    assert one.of("bob", 1000).up.take(1000, now)


def test_streams_of_a_user_wait_for_their_common_rate(
    view: Callable[[int], SharedAccounts],
) -> None:
    limits = [view(worker).of("alice", 1000) for worker in (0, 1)]
    now = time.monotonic()
    assert limits[0].up.owe(1000, now) == 0
    assert limits[1].up.owe(500, now) == pytest.approx(0.5)
    assert limits[1].up.owe(0, now + 0.5) == 0


def test_entry_of_a_user_who_is_gone_is_kept_until_it_is_full_again(
    view: Callable[[int], SharedAccounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_shared, "_SETS", 1)
    monkeypatch.setattr(turn_shared, "_WAYS", 1)
    accounts, now = view(0), time.monotonic()
    accounts.take("alice", TWO)
    assert accounts.of("alice", 1000).up.take(1000, now)
    accounts.give("alice")
    assert accounts.take("bob", TWO) == 508
    monkeypatch.setattr(turn_shared.time, "monotonic", lambda: now + BURST)
    assert accounts.take("bob", TWO) is None


def test_lock_of_a_worker_that_died_is_free(
    table: int, view: Callable[[int], SharedAccounts]
) -> None:
    dying = f"import fcntl, os; fcntl.lockf({table}, fcntl.LOCK_EX); os._exit(1)"
    subprocess.run([sys.executable, "-c", dying], check=False, pass_fds=[table], timeout=10)
    assert view(0).take("alice", TWO) is None
