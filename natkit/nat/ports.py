"""How a NAT numbers: port preservation, allocation pattern and address pooling (RFC 4787 §4).

Everything here is read off the mappings that the other tests made anyway; nothing is sent.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from natkit.machine import Instant
from natkit.nat.behaviour import Measured
from natkit.wire import TransportAddress

FEWEST_SOCKETS = 3
"""Mappings of fewer sockets say nothing about a habit."""

FEWEST_MAPPINGS = 8
"""Eight ports in a row, in order, are drawn by chance from 16 once in 10**5 tries; five are not so
rare. A probe on a NAT with a mapping for each socket sees eight."""

LARGEST_STEP = 16
"""A counter that other hosts move as well still looks like one up to here."""


class Pooling(Enum):
    """Does one host keep one external address? (RFC 4787 §4.1, REQ-2)

    A pool that pairs and no pool at all look the same from inside, so the word says what was seen.
    """

    ONE_SEEN = "one-seen"
    ARBITRARY = "arbitrary"


class Pattern(Enum):
    """How the port of a new mapping is chosen."""

    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Allocation:
    """A pattern with its numbers.

    Attributes:
        step:   SEQUENTIAL: distance between consecutive mappings; negative: counting down.
        lowest, highest: the external ports seen, which need not be all there are.
    """

    pattern: Pattern
    step: int | None
    lowest: int
    highest: int

    def __str__(self) -> str:
        if self.step is not None:
            return f"{self.pattern.value} {self.step:+d}"
        return self.pattern.value


@dataclass(frozen=True, slots=True)
class Mapped:
    """One mapping that was seen: which local port became which external endpoint, and when.

    The NAT made it at the first try, or, where that was lost before the NAT, at a later one.
    """

    local_port: int
    external: TransportAddress
    first_asked_at: Instant
    asked_at: Instant


def judge_preservation(mappings: Sequence[Mapped]) -> Measured[bool]:
    """Say whether the NAT keeps the local port where it can (RFC 4787 §4.2.1)."""
    sockets = {m.local_port for m in mappings}
    kept = {m.local_port for m in mappings if m.external.port == m.local_port}
    if len(sockets) < FEWEST_SOCKETS:
        return Measured.not_measured(f"{len(sockets)} sockets were answered, too few for a habit")
    counts = f"{len(kept)} of {len(sockets)} sockets kept their port"
    if not kept:
        return Measured.found(False, counts)
    if len(kept) * 3 >= len(sockets) * 2:
        return Measured.found(True, counts)
    return Measured.inconclusive(counts)


def judge_pooling(mappings: Sequence[Mapped]) -> Measured[Pooling]:
    """Say whether all mappings of this host share one external address."""
    addresses = Counter(m.external.ip for m in mappings)
    if len({m.local_port for m in mappings}) < FEWEST_SOCKETS:
        return Measured.not_measured("too few sockets were answered")
    seen = ", ".join(f"{ip} ({count} times)" for ip, count in sorted(addresses.items()))
    if len(addresses) == 1:
        return Measured.found(Pooling.ONE_SEEN, f"every mapping had {seen}")
    return Measured.found(Pooling.ARBITRARY, f"this host was seen as {seen}")


def judge_allocation(mappings: Sequence[Mapped]) -> Measured[Allocation]:
    """Say how the ports of new mappings follow each other.

    Losses and our own sockets blur the order in which a NAT saw the first packets, so the step is
    read off the sorted ports, and only its sign off the order in time.
    """
    ports = _new_ports(mappings)
    if len(ports) < FEWEST_MAPPINGS:
        return Measured.not_measured(f"{len(ports)} different mappings were seen, too few")
    lowest, highest = min(ports), max(ports)
    evidence = "ports in the order asked: " + ", ".join(map(str, ports[:16]))
    preserving = judge_preservation(mappings)
    if preserving.value:
        kept = Allocation(Pattern.PRESERVING, None, lowest, highest)
        return Measured.found(kept, preserving.reason, evidence)
    step = _step(ports) or _step(_new_ports(mappings, by_answered_try=True))
    if step is not None:
        counted = Allocation(Pattern.SEQUENTIAL, step, lowest, highest)
        return Measured.found(counted, f"new mappings are {step:+d} apart", evidence)
    if _looks_random(ports):
        scattered = Allocation(Pattern.RANDOM, None, lowest, highest)
        return Measured.found(scattered, f"no order in {len(ports)} mappings", evidence)
    return Measured.inconclusive("neither clearly ordered nor clearly random", evidence)


def _new_ports(mappings: Sequence[Mapped], *, by_answered_try: bool = False) -> list[int]:
    """Return each external port once, in the order in which it was asked for."""

    def when(mapping: Mapped) -> Instant:
        return mapping.asked_at if by_answered_try else mapping.first_asked_at

    return list(dict.fromkeys(m.external.port for m in sorted(mappings, key=when)))


def _gaps(ports: Sequence[int]) -> list[int]:
    """Return the distances between sorted ports, without the widest one.

    A counter that wrapped around its range leaves one wide gap in the middle.
    """
    ordered = sorted(ports)
    gaps = [b - a for a, b in itertools.pairwise(ordered)]
    gaps.remove(max(gaps))
    return gaps


def _step(ports: Sequence[int]) -> int | None:
    """Return the step of a counter, or None where chance could have drawn these ports.

    Four fifths of the sorted gaps must be the step, and the ports must rise (or fall) all around
    the circle of the range, with one exception for every eight beyond the first eight. Of random
    ports less than one set in 10,000 does both, even where they fill their range.
    """
    gaps = _gaps(ports)
    size, votes = Counter(gaps).most_common(1)[0]
    if size > LARGEST_STEP or votes * 5 < len(gaps) * 4:
        return None
    if any(gap % size or gap > 4 * LARGEST_STEP for gap in gaps):
        return None
    falls = sum(b < a for a, b in itertools.pairwise((*ports, ports[0])))
    exceptions = min(falls, len(ports) - falls) - 1
    if exceptions > (len(ports) - FEWEST_MAPPINGS) // 8:
        return None
    return size if falls * 2 < len(ports) else -size


def _looks_random(ports: Sequence[int]) -> bool:
    """True when the gaps differ as much as those of random ports do."""
    return len(set(_gaps(ports))) * 2 > len(ports) - 2
