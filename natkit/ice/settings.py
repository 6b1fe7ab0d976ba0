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
                          one over UDP before it is nominated. 4 s are four sends of each check
                          (0, 0.5, 1.5 and 3.5 s): with a tenth lost on each side each way, 4 of
                          7,260 calls in the simulator missed a direct path, with 2 s 9 of 3,960.
                          Data flows in the meantime.
        promising_patience: the same where the peer's checks come in on a direct path, so that only
                          bad luck can keep ours from being answered: sixteen sends.
        failure_patience: how long after the start an agent may give up at the earliest: a check
                          of the peer's can still come (RFC 8863 §4).
        silence:          after how long without a sign of the peer the connection is called
                          disconnected: two consent checks.
        freeing:          after how long the candidates that were not chosen are given up
                          (RFC 8445 §8.3.1).
    """

    pacing: Seconds = 0.05
    relayed_patience: Seconds = 4.0
    promising_patience: Seconds = 8.0
    failure_patience: Seconds = 39.5
    silence: Seconds = 10.0
    freeing: Seconds = 3.0


DEFAULTS = Settings()
