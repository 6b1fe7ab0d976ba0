"""Servers and candidates, as aiortc has them and as natkit has them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from aiortc.rtcconfiguration import RTCIceServer
from aiortc.rtcicetransport import RTCIceCandidate

from natkit.aio.ice_servers import TurnServer, stun_uri
from natkit.errors import UsageError
from natkit.ice.candidate import Candidate

logger = logging.getLogger(__name__)


def servers(configured: Iterable[RTCIceServer]) -> tuple[list[str], list[TurnServer]]:
    """Return the STUN and the TURN servers of a configuration, for a `Connection`.

    Left out, with a warning in the log, is what natkit's client does not speak: STUN other than
    over UDP, TURN over DTLS, credentials other than passwords.

    Raises: ValueError: a URL is none of a STUN or TURN server.
    """
    stun: list[str] = []
    turn: list[TurnServer] = []
    for server in configured:
        for url in [server.urls] if isinstance(server.urls, str) else server.urls:
            _sort(url, server, stun, turn)
    return stun, turn


def _sort(url: str, server: RTCIceServer, stun: list[str], turn: list[TurnServer]) -> None:
    scheme = url.partition(":")[0].lower()
    try:
        if scheme == "stun":
            stun.append(str(stun_uri(url)))
        elif scheme in ("turn", "turns") and server.credentialType == "password":
            turn.append(TurnServer(url, server.username, server.credential))
        elif scheme in ("stuns", "turn", "turns"):
            logger.warning("%s is left out: natkit does not speak it", url)
        else:
            raise ValueError(f"malformed uri: {url!r} has an invalid scheme")
    except UsageError as error:
        raise ValueError(f"malformed uri: {error}") from error


def to_aiortc(candidate: Candidate) -> RTCIceCandidate:
    """Return a candidate of ours as aiortc has it."""
    return RTCIceCandidate(
        candidate.component,
        candidate.foundation,
        candidate.host,
        candidate.port,
        candidate.priority,
        candidate.transport,
        str(candidate.type),
        candidate.related_address,
        candidate.related_port,
        tcpType=candidate.tcptype,
    )


def from_aiortc(candidate: RTCIceCandidate) -> Candidate:
    """Return a candidate of aiortc's as natkit has it."""
    return Candidate(
        candidate.foundation,
        candidate.component,
        candidate.protocol,
        candidate.priority,
        candidate.ip,
        candidate.port,
        candidate.type,
        candidate.relatedAddress,
        candidate.relatedPort,
        candidate.tcpType,
    )
