"""The times of an agent, with the reason for each number."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.machine import Seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """What an agent waits for.

    Attributes:
        pacing:           between two new checks (Ta, RFC 8445 §14.2). Another value than 50 ms
                          would have to be told to the peer.
        relayed_patience: how long a path that works over a relay, or over TCP, waits for a direct
                          one over UDP before it is nominated. 2 s are three sends of each check
                          (0, 0.5 and 1.5 s): with a tenth lost each way, one direct path in some
                          4,000 would be missed. Data flows in the meantime.
        promising_patience: the same where the peer's checks come in on a direct path, so that only
                          bad luck can keep ours from being answered: two sends more.
        failure_patience: how long after the start an agent may give up at the earliest: a check
                          of the peer's can still come (RFC 8863 §4).
        silence:          after how long without a sign of the peer the connection is called
                          disconnected: two consent checks.
        freeing:          after how long the candidates that were not chosen are given up
                          (RFC 8445 §8.3.1).
    """

    pacing: Seconds = 0.05
    relayed_patience: Seconds = 2.0
    promising_patience: Seconds = 8.0
    failure_patience: Seconds = 39.5
    silence: Seconds = 10.0
    freeing: Seconds = 3.0


DEFAULTS = Settings()
