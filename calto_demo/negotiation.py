"""What the other side says of its media, handed to aiortc; what cannot be used ends the call.

Rule of the file: it comes from whoever calls, and nothing that it may be raises more than
`CallFailed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiortc import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp, candidate_to_sdp

from natkit import NatkitError

LONGEST_REASON = 100
"""Characters of what the other side makes us print."""


class CallFailed(NatkitError):
    """There is no call, or no more."""

    exit_code = 3


@contextmanager
def usable(what: str) -> Iterator[None]:
    """Raise CallFailed for whatever aiortc makes of `what`, which the other side has sent."""
    try:
        yield
    except NatkitError:
        raise
    except Exception as error:
        # aiortc's parser has no error of its own: it asserts, and looks up what is not there.
        told = str(error) if isinstance(error, ValueError) else ""
        raise CallFailed(f"this call's {what} cannot be used", why=printable(told)) from error


def printable(told: str) -> str | None:
    """Return a short line of what may have the other side's words in it; None: of nothing."""
    line = "".join(it if it.isprintable() else " " for it in told)
    return (line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…") or None


async def take_description(connection: RTCPeerConnection, kind: str, sdp: str) -> None:
    """Take an offer or an answer. Raises: CallFailed: it is none that can lead to a call."""
    with usable(kind):
        said = SessionDescription.parse(sdp)
        if not said.media:
            raise ValueError("there is no media in it")
        # aiortc would notice once there is a path: nobody could tell then whose keys these are.
        if not any(line.startswith("a=fingerprint:") for line in sdp.splitlines()):
            why = "nothing goes unencrypted here (RFC 8827 §6.5)"
            raise CallFailed(f"this call's {kind} has no DTLS fingerprint", why=why)
        await connection.setRemoteDescription(RTCSessionDescription(sdp, kind))


async def take_candidate(
    connection: RTCPeerConnection, told: Mapping[str, Any] | None, *, relays: bool = True
) -> None:
    """Take a candidate (RTCIceCandidateInit; None: there will be no more).

    Args:   relays: False: leave out those of relays.
    Raises: CallFailed: it is none.
    """
    with usable("candidate"):
        if told is None or not told["candidate"]:
            await connection.addIceCandidate(None)
            return
        candidate = candidate_from_sdp(told["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = told.get("sdpMid"), told.get("sdpMLineIndex")
        if relays or candidate.type != "relay":
            await connection.addIceCandidate(candidate)


def words_of(candidate: RTCIceCandidate) -> str:
    """Return one of our candidates as RTCIceCandidateInit has it."""
    return f"candidate:{candidate_to_sdp(candidate)}"
