"""Fire at every decoder: python -m fuzz.run [N] [SEED]. The same N and SEED, the same inputs.

Ends with 0, or prints the input that let another exception escape and ends with 1.
"""

from __future__ import annotations

import sys
from itertools import islice
from random import Random
from typing import NamedTuple

from fuzz.inputs import inputs
from fuzz.targets import TARGETS, Target

DEFAULT_COUNT = 2_000_000
DEFAULT_SEED = 1


class Escape(NamedTuple):
    """An exception that a target does not allow.

    Attributes:
        target: the target's name.
        data:   the input, in hexadecimal digits.
        error:  the exception.
    """

    target: str
    data: str
    error: Exception


class Outcome(NamedTuple):
    """What became of the inputs of one target."""

    target: str
    accepted: int
    refused: int
    escapes: list[Escape]


def fire(target: Target, count: int, seed: int) -> Outcome:
    """Run `count` inputs through `target`."""
    random = Random(f"{target.name} {seed}")
    refused = 0
    escapes: list[Escape] = []
    for data in islice(inputs(random, target.samples), count):
        try:
            target.run(data)
        except target.allowed:
            refused += 1
        except Exception as error:
            escapes.append(Escape(target.name, data.hex(), error))
    return Outcome(target.name, count - refused - len(escapes), refused, escapes)


def fire_all(count: int, seed: int) -> list[Outcome]:
    """Spread `count` inputs evenly over all targets, one more each where it does not divide."""
    share = -(-count // len(TARGETS))
    return [fire(target, share, seed) for target in TARGETS]


def main(arguments: list[str]) -> int:
    """Fire, report, and return the exit code."""
    given = [int(argument) for argument in arguments]
    count, seed = given + [DEFAULT_COUNT, DEFAULT_SEED][len(given) :]
    outcomes = fire_all(count, seed)
    for target, accepted, refused, escapes in outcomes:
        escaped = len(escapes)
        print(f"{target:15}{accepted:>10,} accepted {refused:>10,} refused {escaped:>5} escaped")
        for escape in escapes[:5]:
            print(f"  {escape.data}: {escape.error!r}")
    return 1 if any(outcome.escapes for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
