"""Which working pair the controlling agent takes, and when (RFC 8445 §8.1.1).

A direct path is taken at once. A relayed one is taken when no direct one can come any more, or has
not come in time: the nomination is for good, and a relay costs its owner and adds delay.
"""

from __future__ import annotations

from typing import NamedTuple

from natkit.ice.checklist import CheckList
from natkit.ice.pair import Pair
from natkit.machine import Instant, Seconds


class Plan(NamedTuple):
    """A pair, and when to nominate it unless a better one turns up."""

    pair: Pair
    at: Instant


def plan(
    pairs: CheckList, component: int, patience: Seconds, *, more_expected: bool
) -> Plan | None:
    """Return what to nominate for a component as things stand; None: nothing works yet.

    Args:
        patience:      how long a relayed pair waits for a direct one.
        more_expected: candidates of either side may still come.
    """
    working = pairs.working(component)
    for pair in working:
        if not pair.is_relayed:
            return Plan(pair, worked_at(pair))
    if not working:
        return None
    hoped_for = more_expected or any(
        pair.component == component and pair.is_pending and not pair.is_relayed
        for pair in pairs.pairs
    )
    first = min(worked_at(pair) for pair in working)
    return Plan(working[0], first + patience if hoped_for else first)


def worked_at(pair: Pair) -> Instant:
    """Return when a working pair was found to."""
    return pair.history.changes[-1][0]
