"""The assembler writes RFC 9669's encoding, and refuses what cannot be run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from natkit.dataplane.kernel.assembler import (
    R0,
    R1,
    R2,
    R3,
    R9,
    STACK,
    Assembler,
    Field,
    MalformedProgram,
)


def code(*steps: Callable[[Assembler], object]) -> str:
    a = Assembler()
    for step in steps:
        step(a)
    return a.assemble().hex(" ", 8)


@pytest.mark.parametrize(
    ("step", "encoded"),
    [
        (lambda a: a.set(R0, 2), "b700000002000000"),
        (lambda a: a.set(R9, R1), "bf19000000000000"),
        (lambda a: a.compute(R2, "+=", -4), "07020000fcffffff"),
        (lambda a: a.compute(R2, "&=", R3), "5f32000000000000"),
        (lambda a: a.compute32(R2, ">>=", 16), "7402000010000000"),
        (lambda a: a.set(R3, 0xFFFFFFFF), "b7030000ffffffff"),
        (lambda a: a.swap(R3, 16), "dc03000010000000"),
        (lambda a: a.load(R3, R1, Field(12, 2)), "69130c0000000000"),
        (lambda a: a.load(R3, R1, Field(4, 8)), "7913040000000000"),
        (lambda a: a.store(STACK, Field(-8, 4), R1), "631af8ff00000000"),
        (lambda a: a.store(STACK, Field(-8, 1), 17), "720af8ff11000000"),
        (lambda a: a.atomic_add(R9, Field(8, 8), R1), "db19080000000000"),
        (lambda a: a.map(R1, 5), "1811000005000000 0000000000000000"),
        (lambda a: a.call(69), "8500000045000000"),
        (lambda a: a.leave(), "9500000000000000"),
        (lambda a: a.leave(3), "b700000003000000 9500000000000000"),
    ],
)
def test_instruction_is_encoded(step: Callable[[Assembler], object], encoded: str) -> None:
    assert code(step) == encoded


def test_jump_counts_from_the_instruction_after_it() -> None:
    written = code(
        lambda a: a.jump_if(R1, "==", 8, "end"),
        lambda a: a.set(R0, 0),
        lambda a: a.goto("end"),
        lambda a: a.label("end"),
        lambda a: a.leave(),
    )
    assert written.split() == [
        "1501020008000000",
        "b700000000000000",
        "0500000000000000",
        "9500000000000000",
    ]


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([lambda a: a.goto("nowhere")], "a jump to nowhere, which is nowhere"),
        ([lambda a: a.label("x"), lambda a: a.label("x")], "the label x is set twice"),
        ([lambda a: a.label("x"), lambda a: a.goto("x")], "the jump to x goes back"),
    ],
)
def test_label_that_leads_nowhere_is_refused(
    steps: list[Callable[[Assembler], object]], complaint: str
) -> None:
    with pytest.raises(MalformedProgram, match=complaint):
        code(*steps)


def test_field_of_something_is_found_where_that_begins() -> None:
    assert Field(6, 2).at(-112) == Field(-106, 2)


def test_fresh_labels_differ() -> None:
    a = Assembler()
    assert a.fresh("skip") != a.fresh("skip")
