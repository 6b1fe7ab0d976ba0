"""Inputs for a decoder, drawn from a seeded generator: noise, and damaged samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

_NOISE_SHARE = 8
"""One input in so many is plain noise: it seldom gets past a header."""

_TELLING = bytes((0x00, 0x01, 0x03, 0x04, 0x08, 0x14, 0x20, 0x7F, 0x80, 0xFF))
"""Bytes that mean something as a length, a type or a flag."""


def inputs(random: Random, samples: tuple[bytes, ...]) -> Iterator[bytes]:
    """Yield inputs without end; the same for the same state of `random`."""
    while True:
        if random.randrange(_NOISE_SHARE) == 0:
            yield random.randbytes(random.randrange(64))
            continue
        data = bytearray(random.choice(samples))
        for _ in range(random.randrange(1, 4)):
            random.choice(_DAMAGES)(random, data)
        if random.random() < 0.5:
            _mend_stun_length(data)
        yield bytes(data)


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _replace(random: Random, data: bytearray) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_TELLING)


def _cut(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data) + 1) :]


def _remove(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data) + 1)
    del data[at : at + random.randrange(9)]


def _insert(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.randrange(9))


def _repeat(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = data[at : at + random.randrange(40)]


_DAMAGES: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip,
    _flip,
    _replace,
    _replace,
    _cut,
    _remove,
    _insert,
    _repeat,
)


def _mend_stun_length(data: bytearray) -> None:
    """Make the header fit the size again, so that the damage gets past it."""
    if len(data) >= 20:
        del data[20 + (len(data) - 20) // 4 * 4 :]
        data[2:4] = (len(data) - 20).to_bytes(2, "big")
