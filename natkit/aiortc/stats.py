"""Candidates and paths in aiortc's statistics, under the names of W3C's webrtc-stats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aiortc import clock
from aiortc.stats import RTCStats, RTCTransportStats

from natkit.aio.connection import Connection, SelectedPair
from natkit.aio.ice_servers import TurnServer
from natkit.ice.candidate import Candidate
from natkit.ice.report import Json


@dataclass
class RTCIceCandidateStats(RTCStats):
    """A candidate of either side, under the names of W3C's webrtc-stats.

    Attributes:
        relayProtocol: what this side goes to its TURN server over: "udp", "tcp" or "tls".
        url:           the server that gave it, as it was configured.
    """

    transportId: str
    address: str
    port: int
    protocol: str
    candidateType: str
    priority: int
    foundation: str
    relatedAddress: str | None = None
    relatedPort: int | None = None
    relayProtocol: str | None = None
    url: str | None = None


@dataclass
class RTCIceCandidatePairStats(RTCStats):
    """The path that data takes, under the names of W3C's webrtc-stats.

    Attributes: currentRoundTripTime: seconds, of the latest check; None: not known.
    """

    transportId: str
    localCandidateId: str
    remoteCandidateId: str
    state: str
    nominated: bool
    currentRoundTripTime: float | None
    requestsSent: int
    responsesReceived: int
    requestsReceived: int


@dataclass
class RTCIceTransportStats(RTCTransportStats):
    """aiortc's statistics of a transport, and which path it takes.

    Attributes: selectedCandidatePairId: None: there is none yet.
    """

    iceState: str = "new"
    selectedCandidatePairId: str | None = None


def transport_stats(
    transport: RTCTransportStats, state: str, connection: Connection
) -> Iterator[RTCStats]:
    """Yield the statistics of a transport: of all candidates, the chosen pair, and itself.

    Args:
        transport: what aiortc knows of it.
        state:     of ICE.
    """
    report, chosen = connection.report(), connection.selected_pair()
    ours, theirs = connection.local_candidates, connection.remote_candidates
    pair = None
    if chosen is not None:
        ours, theirs = [*ours, chosen.local], [*theirs, chosen.remote]
        (known,) = (it for it in report["pairs"] if it["number"] in report["selected"])
        pair = _pair_stats(transport, chosen, known)
        yield pair
    told_by = {it["sdp"]: it["server"] for it in report["local"]}
    for candidate in ours:
        server = told_by.get(candidate.to_sdp())
        relay = next((it for it in connection.turn_servers if it.name == server), None)
        yield _candidate_stats(transport, "local", candidate, server, relay)
    for candidate in theirs:
        yield _candidate_stats(transport, "remote", candidate)
    selected = None if pair is None else pair.id
    yield RTCIceTransportStats(**vars(transport), iceState=state, selectedCandidatePairId=selected)


def _pair_stats(transport: RTCStats, chosen: SelectedPair, known: Json) -> RTCIceCandidatePairStats:
    return RTCIceCandidatePairStats(
        timestamp=clock.current_datetime(),
        type="candidate-pair",
        id=f"{transport.id}_pair_{known['number']}",
        transportId=transport.id,
        localCandidateId=_id(transport, "local", chosen.local),
        remoteCandidateId=_id(transport, "remote", chosen.remote),
        state="succeeded",
        nominated=chosen.nominated,
        currentRoundTripTime=chosen.round_trip,
        requestsSent=known["checks_sent"],
        responsesReceived=known["checks_answered"],
        requestsReceived=known["checks_received"],
    )


def _candidate_stats(
    transport: RTCStats,
    side: str,
    candidate: Candidate,
    server: str | None = None,
    relay: TurnServer | None = None,
) -> RTCIceCandidateStats:
    return RTCIceCandidateStats(
        timestamp=clock.current_datetime(),
        type=f"{side}-candidate",
        id=_id(transport, side, candidate),
        transportId=transport.id,
        address=candidate.host,
        port=candidate.port,
        protocol=candidate.transport,
        candidateType=str(candidate.type),
        priority=candidate.priority,
        foundation=candidate.foundation,
        relatedAddress=candidate.related_address,
        relatedPort=candidate.related_port,
        relayProtocol=None if relay is None else relay.transport.value,
        url=server if relay is None else relay.uri,
    )


def _id(transport: RTCStats, side: str, candidate: Candidate) -> str:
    where = f"{candidate.type}_{candidate.transport}_{candidate.host}_{candidate.port}"
    return f"{transport.id}_{side}_{where}"
