"""Which working pair the controlling agent takes, and when (RFC 8445 §8.1.1).

A direct path over UDP is taken at once. A relayed one, or one over TCP, is taken when no better one
can come any more, or has not come in time: the nomination is for good, a relay costs its owner and
adds delay, and TCP stalls at every loss.
"""

from __future__ import annotations

from typing import NamedTuple

from natkit.ice.checklist import CheckList
from natkit.ice.pair import Pair
from natkit.ice.settings import Settings
from natkit.machine import Instant, Seconds


class Plan(NamedTuple):
    """A pair, and when to nominate it unless a better one turns up."""

    pair: Pair
    at: Instant


def plan(
    pairs: CheckList, component: int, settings: Settings, *, more_expected: bool
) -> Plan | None:
    """Return what to nominate for a component as things stand; None: nothing works yet.

    Args:
        settings:      how long a second choice waits for a better pair.
        more_expected: candidates of either side may still come.
    """
    working = pairs.working(component)
    for pair in working:
        if not pair.is_second_choice:
            return Plan(pair, worked_at(pair))
    if not working:
        return None
    hopes = [p for p in pairs.pairs if p.component == component and p.is_pending]
    patience: Seconds = 0.0
    if any(not pair.is_second_choice and pair.history.received for pair in hopes):
        patience = settings.promising_patience
    elif more_expected or any(not pair.is_second_choice for pair in hopes):
        patience = settings.relayed_patience
    return Plan(working[0], min(worked_at(pair) for pair in working) + patience)


def worked_at(pair: Pair) -> Instant:
    """Return when a working pair was found to."""
    return pair.history.changes[-1][0]
