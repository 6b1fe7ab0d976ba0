"""The code that two people share: four words, and the room and the key that follow from them.

A room's name says nothing about the key but by guessing codes, of which there are 2**44. Each
guess costs what `Code.secrets` does, which is made slow on purpose.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from natkit.errors import UsageError
from natkit.rendezvous.words import WORDS

LENGTH = 4
"""Words: 44 bits, which docs/decisions/0011-one-code.md holds against those who could guess."""

_BITS = 11
_PREFIX = 4
"""Letters that tell every word from all others."""

_BY_PREFIX = {word[:_PREFIX]: word for word in WORDS}
_SALT = b"natkit rendezvous 1"
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
"""16 MiB and some 50 ms for each guess."""


class Secrets(NamedTuple):
    """What follows from a code.

    Attributes:
        room: 32 hexadecimal digits, told to the rendezvous.
        key:  32 bytes, told to nobody.
    """

    room: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Code:
    """A code. `str` gives the form that people read to each other."""

    words: tuple[str, ...]

    @classmethod
    def draw(cls, randomness: Callable[[int], bytes]) -> Code:
        """Draw one. Args: randomness: returns that many unpredictable bytes."""
        number = int.from_bytes(randomness(6), "big")
        picked = ((number >> (_BITS * place)) % len(WORDS) for place in range(LENGTH))
        return cls(tuple(WORDS[index] for index in picked))

    @classmethod
    def parse(cls, text: str) -> Code:
        """Read what was typed: words, or the first four letters of each, with anything between.

        Raises: UsageError: it is no code, in words that help to mend it.
        """
        typed = re.findall(r"[^\W\d_]+", text.lower())
        if len(typed) != LENGTH:
            raise UsageError(
                f"{text!r} is no code",
                why=f"a code has {LENGTH} words, this has {len(typed)}",
                hint="The other side's natkit connect shows it",
            )
        return cls(tuple(_word(one) for one in typed))

    def secrets(self) -> Secrets:
        """Return the room and the key; takes some 50 ms and 16 MiB (RFC 7914)."""
        derived = hashlib.scrypt(str(self).encode(), salt=_SALT, dklen=48, **_SCRYPT)
        return Secrets(derived[:16].hex(), derived[16:])

    def __str__(self) -> str:
        return "-".join(self.words)


def _word(typed: str) -> str:
    word = _BY_PREFIX.get(typed[:_PREFIX])
    if word is not None and word.startswith(typed):
        return word
    near = difflib.get_close_matches(typed, WORDS, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Ask for the code once more"
    raise UsageError(f"no code has the word {typed!r}", hint=hint)
