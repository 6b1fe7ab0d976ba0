"""Token buckets: the burst, then the rate."""

from __future__ import annotations

import pytest

from calto_demo.server.bucket import Bucket, Buckets


def test_a_burst_is_let_through_and_then_the_rate():
    bucket = Bucket(2.0, 3)
    assert [bucket.take(now=100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(now=100.0) == pytest.approx(0.5)
    assert not bucket.take(now=100.4)
    assert bucket.take(now=100.5)
    assert not bucket.take(now=100.5)


def test_who_was_away_long_has_a_burst_again_and_no_more():
    bucket = Bucket(2.0, 3)
    assert [bucket.take(now=now) for now in (0.0, 50.0, 50.0, 50.0, 50.0)] == [True] * 4 + [False]


def test_buckets_of_many_are_bounded_and_forget_the_least_recent():
    buckets = Buckets(1.0, 1, most=2)
    for name in ("a", "b", "a", "c"):
        buckets.of(name).take(now=0.0)
    assert not buckets.of("a").take(now=0.0)
    assert buckets.of("b").take(now=0.0), "it was the least recent, so it was forgotten"
