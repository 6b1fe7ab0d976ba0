"""Limits on bytes a second: of an allocation, and of all that a user has."""

from __future__ import annotations

import pytest

from natkit.dataplane.rates import BURST, Bucket, LocalUserLimits, Narrower


def test_bucket_lets_its_burst_pass_and_then_its_rate() -> None:
    bucket = Bucket(1000)
    assert bucket.take(1000, 5.0)
    assert not bucket.take(1, 5.0)
    assert bucket.take(500, 5.5)
    assert not bucket.take(1, 5.5)
    assert not bucket.take(1001, 60.0)


@pytest.mark.parametrize("narrow_first", [True, False])
def test_narrower_of_two_limits_decides(narrow_first: bool) -> None:
    narrow, wide = Bucket(100), Bucket(1000)
    both = Narrower(narrow, wide) if narrow_first else Narrower(wide, narrow)
    assert both.take(100, 5.0)
    assert not both.take(100, 5.0)


def test_allocations_of_a_user_share_one_limit_and_those_of_others_do_not() -> None:
    users = LocalUserLimits()
    first, second, other = users.of("alice", 1000), users.of("alice", 1000), users.of("bob", 1000)
    assert first.up.take(1000, 5.0)
    assert not second.up.take(1, 5.0)
    assert second.down.take(1000, 5.0)
    assert other.up.take(1000, 5.0)


def test_who_allocates_anew_has_no_full_bucket() -> None:
    users = LocalUserLimits()
    assert users.of("alice", 1000).up.take(1000, 5.0)
    users.leave("alice", 5.0)
    assert not users.of("alice", 1000).up.take(1000, 5.0)


def test_users_who_are_gone_are_forgotten() -> None:
    users = LocalUserLimits()
    for number in range(100):
        users.of(str(number), 1000)
        users.leave(str(number), 5.0)
    users.of("alice", 1000)
    users.leave("alice", 5.0 + BURST)
    assert set(users._buckets) == {"alice"}


def test_who_comes_back_and_leaves_again_is_not_forgotten_too_soon() -> None:
    users = LocalUserLimits()
    users.of("alice", 1000)
    users.leave("alice", 5.0)
    assert users.of("alice", 1000).up.take(1000, 5.9)
    users.leave("alice", 5.9)
    users.of("bob", 1000)
    users.leave("bob", 6.0)
    assert not users.of("alice", 1000).up.take(1000, 6.0)


def test_another_rate_is_that_of_all_allocations_of_the_user() -> None:
    users = LocalUserLimits()
    first = users.of("alice", 1000)
    assert first.up.take(1000, 5.0)
    users.of("alice", 10)
    assert not first.up.take(500, 6.0)


def test_stream_waits_for_what_it_took_beyond_its_rate() -> None:
    bucket = Bucket(1000)
    assert bucket.owe(1000, 5.0) == 0
    assert bucket.owe(500, 5.0) == 0.5
    assert bucket.owe(500, 5.5) == 0.5
    assert Narrower(Bucket(100), Bucket(1000)).owe(200, 5.0) == 1.0
