"""The STUN codec against aioice's, on the message that both spend their lives on: an ICE check.

Each side gets the same bytes in the same run. The two take turns, so that a busy machine slows
both; a row's number is the median over the turns.
"""

from __future__ import annotations

import gc
import importlib.metadata
import statistics
import timeit
from collections.abc import Callable

from aioice import stun

from natkit.wire import (
    IceControlling,
    Message,
    Method,
    Priority,
    UseCandidate,
    Username,
    short_term_key,
)
from scripts.benchmarks import Row

_TRANSACTION_ID = bytes(range(12))
_USERNAME = "9b4424d9:5f0c2c0a"
_PRIORITY = 1845501695
_TIE_BREAKER = 0x932FF9B151263B36
_KEY = short_term_key("VOkJxbRl1RmTxUk/WvJxBt")

_TURNS = 31
_CALLS = 2000


def build() -> bytes:
    """Build the check with natkit."""
    return Message.request(
        Method.BINDING,
        _TRANSACTION_ID,
        Username(_USERNAME),
        Priority(_PRIORITY),
        IceControlling(_TIE_BREAKER),
        UseCandidate(),
    ).encode(key=_KEY, fingerprint=True)


def peer_build() -> bytes:
    """Build the check as aioice.ice does."""
    check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, _TRANSACTION_ID)
    check.attributes["USERNAME"] = _USERNAME
    check.attributes["PRIORITY"] = _PRIORITY
    check.attributes["ICE-CONTROLLING"] = _TIE_BREAKER
    check.attributes["USE-CANDIDATE"] = None
    check.add_message_integrity(_KEY)
    return bytes(check)


CHECK = build()


def parse() -> Message:
    """Parse and validate the check, FINGERPRINT included."""
    return Message.decode(CHECK)


def peer_parse() -> stun.Message:
    """Parse and validate the check, FINGERPRINT included, with aioice."""
    return stun.parse_message(CHECK)


def answer() -> tuple[bool, int]:
    """Do all that an agent does with a check: parse, verify, read every attribute."""
    check = Message.decode(CHECK)
    return check.verify(_KEY), len(check.attributes)


def peer_answer() -> tuple[bool, int]:
    """Do the same with aioice."""
    check = stun.parse_message(CHECK)
    return check.check_message_integrity(_KEY), len(check.attributes)


def rows() -> list[Row]:
    """Measure.

    Raises: AssertionError: the two do not build the same bytes.
    """
    if build() != peer_build():
        raise AssertionError("natkit and aioice build different ICE checks")
    peer_name = f"aioice {importlib.metadata.version('aioice')}"
    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("parse ICE check", parse, peer_parse),
        ("parse ICE check, verify, read all of it", answer, peer_answer),
        ("build ICE check", build, peer_build),
    ]
    return [Row(name, "µs", *_medians(ours, peer), peer_name) for name, ours, peer in pairs]


def _medians(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """Return microseconds a call for both, from turns taken by one and the other."""
    for warm_up in (ours, peer):
        timeit.timeit(warm_up, number=_CALLS)
    gc.collect()
    turns = [
        (timeit.timeit(ours, number=_CALLS), timeit.timeit(peer, number=_CALLS))
        for _ in range(_TURNS)
    ]
    ours_times, peer_times = zip(*turns, strict=True)
    per_call = 1e6 / _CALLS
    return statistics.median(ours_times) * per_call, statistics.median(peer_times) * per_call
