"""Requests of one source: counted by the minute, in bounded memory."""

from __future__ import annotations

import pytest

from natkit.rendezvous.budget import Budget, source_of


def test_a_source_that_asks_too_often_has_to_wait_for_the_next_minute():
    budget = Budget(2)
    assert [budget.spend("a", now=10.0) for _ in range(3)] == [True, True, False]
    assert budget.spend("b", now=10.0)
    assert not budget.spend("a", now=69.9)
    assert budget.spend("a", now=70.0)


def test_sources_without_end_do_not_fill_the_memory():
    budget = Budget(1)
    for number in range(10_000):
        budget.spend(str(number), now=0.0)
    assert len(budget._spent) == 4096


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_host_is_one_source_whatever_address_it_picks(ip: str, source: str):
    assert source_of(ip) == source
