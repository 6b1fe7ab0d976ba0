"""How a call is doing: the path it takes, and what the other side and we have received."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiortc.stats import RTCStats

from calto_demo.peer.opus import RATE

OVERHEAD = 28
"""Bytes of IPv4 and UDP around each packet."""


@dataclass(frozen=True, slots=True)
class PathStats:
    """Of one moment of a call; None: not known yet.

    Attributes:
        at:          seconds, on the network's clock.
        round_trip:  seconds: by RTCP, or else of the latest check of ICE on this path.
        jitter:      seconds, of what we receive (RFC 3550 §6.4.1).
        received, lost: packets of the other side's audio.
        sent_bytes, received_bytes: all of the transport, without IP and UDP.
        reported_loss: 0 .. 1: what the other side has lost of our audio since its last report.
        local, remote: candidates of the path ("srflx 203.0.113.7:4000 udp").
        relayed:     one of them is a relay's.
    """

    at: float
    round_trip: float | None = None
    jitter: float | None = None
    received: int = 0
    lost: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    reported_loss: float | None = None
    local: str | None = None
    remote: str | None = None
    relayed: bool | None = None

    @property
    def loss(self) -> float | None:
        """0 .. 1, of the other side's audio; None: nothing came."""
        expected = self.received + self.lost
        return max(0, self.lost) / expected if expected else None


def path_stats(report: Iterable[RTCStats], at: float) -> PathStats:
    """Return what aiortc's statistics say."""
    found: dict[str, Any] = {entry.type: entry for entry in report}
    by_id: dict[str, Any] = {entry.id: entry for entry in report}
    pair, transport = found.get("candidate-pair"), found.get("transport")
    inbound, told = found.get("inbound-rtp"), found.get("remote-inbound-rtp")
    local = None if pair is None else by_id.get(pair.localCandidateId)
    remote = None if pair is None else by_id.get(pair.remoteCandidateId)
    round_trip = None if told is None else told.roundTripTime
    if round_trip is None and pair is not None:
        round_trip = pair.currentRoundTripTime
    ends = [end for end in (local, remote) if end is not None]
    return PathStats(
        at=at,
        round_trip=round_trip,
        jitter=None if inbound is None else inbound.jitter / RATE,
        received=0 if inbound is None else inbound.packetsReceived,
        lost=0 if inbound is None else inbound.packetsLost,
        sent_bytes=0 if transport is None else transport.bytesSent,
        received_bytes=0 if transport is None else transport.bytesReceived,
        reported_loss=None if told is None else told.fractionLost / 256,
        local=_words(local),
        remote=_words(remote),
        relayed=any(end.candidateType == "relay" for end in ends) if ends else None,
    )


def _words(candidate: Any) -> str | None:
    if candidate is None:
        return None
    ip = f"[{candidate.address}]" if ":" in candidate.address else candidate.address
    over = candidate.relayProtocol or candidate.protocol
    return f"{candidate.candidateType} {ip}:{candidate.port} {over}"
