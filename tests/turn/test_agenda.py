"""What ends when: items come out in time, and nothing stays of those that were dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natkit.turn.agenda import Agenda


def due(agenda: Agenda[str], now: float) -> list[str]:
    return list(agenda.due(now=now))


def test_item_is_due_at_its_instant_and_once() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.set("a", 10.0)
    assert due(agenda, 9.9) == []
    assert due(agenda, 10.0) == ["a"]
    assert due(agenda, 11.0) == []


def test_items_come_soonest_first() -> None:
    agenda: Agenda[str] = Agenda()
    for name, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        agenda.set(name, at)
    assert agenda.next() == 1.0
    assert due(agenda, 5.0) == ["a", "b", "c"]


def test_item_put_off_comes_later() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.set("a", 1.0)
    agenda.set("a", 5.0)
    assert due(agenda, 4.9) == []
    assert agenda.next() == 5.0
    assert due(agenda, 5.0) == ["a"]


def test_item_brought_forward_comes_sooner_and_once() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.set("a", 5.0)
    agenda.set("a", 1.0)
    assert agenda.next() == 1.0
    assert due(agenda, 9.0) == ["a"]


def test_dropped_item_does_not_come() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.set("a", 1.0)
    agenda.drop("a")
    agenda.drop("never there")
    assert agenda.next() is None
    assert due(agenda, 9.0) == []


def test_dropped_items_leave_the_heap() -> None:
    agenda: Agenda[int] = Agenda()
    for number in range(10_000):
        agenda.set(number, number + 1.0)
        agenda.drop(number)
    assert len(agenda) == 0
    assert len(agenda._heap) < 200


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20) | st.none()), max_size=30)


@given(STEPS)
def test_agenda_does_what_a_plain_dictionary_would(steps: list[tuple[str, int | None]]) -> None:
    agenda: Agenda[str] = Agenda()
    plain: dict[str, int] = {}
    for item, at in steps:
        if at is None:
            agenda.drop(item)
            plain.pop(item, None)
        else:
            agenda.set(item, at)
            plain[item] = at
        early = agenda.next()
        assert (early is None) == (not plain)
        assert early is None or early <= min(plain.values())
    for now in range(21):
        wanted = {item for item, at in plain.items() if at == now}
        assert set(agenda.due(now=now)) == wanted
