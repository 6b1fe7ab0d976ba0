"""The retransmission schedule of RFC 8489 §6.2.1."""

from __future__ import annotations

from natkit.stun.transaction import RELIABLE, Retransmission, Step, Transaction


def test_default_schedule_is_the_rfcs() -> None:
    assert Retransmission().sends() == (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)
    assert Retransmission().patience == 39.5


def test_schedule_is_adjustable() -> None:
    quick = Retransmission(rto=0.1, count=3, final=4)
    assert [round(at, 3) for at in quick.sends()] == [0, 0.1, 0.3]
    assert round(quick.patience, 3) == 0.7


def test_schedule_may_be_even() -> None:
    even = Retransmission(rto=0.5, count=4, final=1, even=True)
    assert even.sends() == (0, 0.5, 1.0, 1.5)
    assert even.patience == 2.0
    assert even.within(1.2).sends() == (0, 0.5, 1.0)


def test_patience_cuts_the_schedule_off_or_stretches_its_end() -> None:
    assert Retransmission().within(2.0).sends() == (0, 0.5, 1.5)
    assert Retransmission().within(2.0).patience == 2.0
    assert Retransmission().within(0.5).sends() == (0,)
    assert Retransmission().within(60.0).count == 7
    assert Retransmission().within(60.0).patience == 60.0


def test_reliable_transport_sends_once_and_waits_as_long() -> None:
    assert RELIABLE.sends() == (0,)
    assert RELIABLE.patience == 39.5


def test_sends_at_its_instants_and_waits_between() -> None:
    transaction = Transaction(Retransmission(), now=100.0)
    assert transaction.step(now=100.0) is Step.SEND
    assert transaction.deadline == 100.5
    assert transaction.step(now=100.499) is Step.WAIT
    assert transaction.step(now=100.5) is Step.SEND
    assert transaction.deadline == 101.5


def test_gives_up_at_the_end_and_not_before() -> None:
    transaction = Transaction(Retransmission(), now=0.0)
    while transaction.deadline < 39.5:
        assert transaction.step(now=transaction.deadline) is Step.SEND
    assert transaction.sent == 7
    assert transaction.step(now=39.4) is Step.WAIT
    assert transaction.step(now=39.5) is Step.GIVE_UP


def test_late_tick_does_not_drift_the_schedule() -> None:
    transaction = Transaction(Retransmission(), now=0.0)
    transaction.step(now=0.0)
    transaction.step(now=0.9)
    assert transaction.deadline == 1.5


def test_a_long_stall_is_not_followed_by_a_burst() -> None:
    transaction = Transaction(Retransmission(), now=0.0)
    transaction.step(now=0.0)
    assert transaction.step(now=4.0) is Step.SEND
    assert transaction.step(now=4.0) is Step.WAIT
    assert transaction.sent == 2
    assert transaction.deadline == 7.5


def test_round_trip_is_unknown_after_a_retransmission() -> None:
    transaction = Transaction(Retransmission(), now=0.0)
    transaction.step(now=0.0)
    assert transaction.round_trip(now=0.25) == 0.25
    transaction.step(now=0.5)
    assert transaction.round_trip(now=0.6) is None
