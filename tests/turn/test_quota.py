"""Counting allocations, and bounding answers to strangers in fixed memory."""

from __future__ import annotations

from natkit.turn.quota import Limits, LocalLedger, Throttle

NO_LIMITS = Limits()


def test_ledger_without_limits_counts_on() -> None:
    ledger = LocalLedger()
    assert [ledger.take("alice", NO_LIMITS) for _ in range(5)] == [None] * 5


def test_ledger_refuses_the_user_before_the_server() -> None:
    ledger, limits = LocalLedger(), Limits(allocations_per_user=2, allocations=3)
    assert [ledger.take("alice", limits) for _ in range(3)] == [None, None, 486]
    assert [ledger.take("bob", limits) for _ in range(2)] == [None, 508]
    ledger.give("alice")
    assert ledger.take("bob", limits) is None


def test_ledger_forgets_users_without_allocations() -> None:
    ledger = LocalLedger()
    ledger.take("alice", NO_LIMITS)
    ledger.give("alice")
    assert not ledger.users


def test_throttle_admits_a_burst_and_then_so_many_a_second() -> None:
    throttle = Throttle(b"salt")
    assert sum(throttle.admits("9.9.9.9", 10, now=100.0) for _ in range(50)) == 10
    assert sum(throttle.admits("9.9.9.9", 10, now=100.5) for _ in range(50)) == 5
    assert sum(throttle.admits("9.9.9.9", 10, now=200.0) for _ in range(50)) == 10


def test_throttle_knows_sources_apart() -> None:
    throttle = Throttle(b"salt")
    for _ in range(20):
        throttle.admits("9.9.9.9", 10, now=100.0)
    assert throttle.admits("9.9.9.8", 10, now=100.0)


def test_throttle_takes_no_memory_for_any_number_of_sources() -> None:
    throttle = Throttle(b"salt")
    before = len(throttle._level)
    for number in range(20_000):
        throttle.admits(f"10.0.{number >> 8}.{number & 255}", 10, now=100.0)
    assert len(throttle._level) == before == 4096
