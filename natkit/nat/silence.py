"""When silence means "filtered" and not "lost": the arithmetic behind every negative answer.

A packet that does not come back may have been filtered, or lost twice over. Every silent try is
therefore held against control tries: same path, same pace, same moments, but with the filter
known to be open. If the filter were open for the silent tries too, they would be lost with the
same probability as the controls; this module says how likely *all* of them were then lost.

The loss rate itself is unknown, so it is integrated out: with a uniform prior, `answered` of
`asked` controls leave a Beta(1 + answered, 1 + asked - answered) belief about a try's chance of an
answer, and the predictive probability of `silent` losses in a row is a ratio of two beta
functions. Ten of ten controls answered and ten silent tries give 3e-6; one control never answered
gives almost nothing, which is the point.
"""

from __future__ import annotations

from math import exp, lgamma
from typing import NamedTuple

DOUBT = 1e-8
"""Accept silence as an answer below this probability of plain bad luck. A campaign of ten thousand
probes then has a chance of about 1 in 10,000 to contain one wrong answer. No RFC says this."""


class Tally(NamedTuple):
    """How many tries were asked and answered, counting only tries old enough to be judged."""

    asked: int
    answered: int

    def __add__(self, other: object) -> Tally:
        """Pool two tallies."""
        if not isinstance(other, Tally):
            return NotImplemented
        return Tally(self.asked + other.asked, self.answered + other.answered)


def chance_of_silence(silent: int, controls: Tally) -> float:
    """Return how likely `silent` unfiltered tries would all be lost, given the controls.

    Args:    silent: tries without an answer, >= 0.
             controls: what the interleaved control tries got.
    Returns: probability, 0 .. 1; 1.0 for no tries at all.
    """
    hit = 1 + controls.answered
    miss = 1 + controls.asked - controls.answered
    # B(hit, miss + silent) / B(hit, miss), in logarithms so that nothing overflows.
    log_ratio = (
        lgamma(miss + silent) - lgamma(miss) + lgamma(hit + miss) - lgamma(hit + miss + silent)
    )
    return exp(min(log_ratio, 0.0))


def is_convincing(silent: int, controls: Tally, doubt: float = DOUBT) -> bool:
    """Say whether silence is an answer: at least one control came back and luck is ruled out."""
    return controls.answered > 0 and chance_of_silence(silent, controls) < doubt
