"""aiortc's peer connections on natkit's ICE: `use_natkit_ice()`, or `RTCPeerConnection` from here.

Needs the extra `calls`.
"""

from __future__ import annotations

from typing import Any

from aiortc import rtcicetransport, rtcpeerconnection

from natkit.aiortc.adapter import RTCIceGatherer, RTCIceTransport, RTCPeerConnection
from natkit.aiortc.stats import (
    RTCIceCandidatePairStats,
    RTCIceCandidateStats,
    RTCIceTransportStats,
)
from natkit.aiortc.virtual import virtual_time

__all__ = [
    "RTCIceCandidatePairStats",
    "RTCIceCandidateStats",
    "RTCIceGatherer",
    "RTCIceTransport",
    "RTCIceTransportStats",
    "RTCPeerConnection",
    "use_natkit_ice",
    "virtual_time",
]


def use_natkit_ice() -> None:
    """Have aiortc run on natkit's ICE from now on, in this process.

    Whoever makes an aiortc `RTCPeerConnection` (or gatherer, or ICE transport) gets the one from
    here, also where it was imported before. Classes that extend aiortc's are left alone: extend
    the one from here. Calling it twice is harmless.
    """
    _replace(rtcpeerconnection.RTCPeerConnection, RTCPeerConnection)
    _replace(rtcicetransport.RTCIceGatherer, RTCIceGatherer)
    _replace(rtcicetransport.RTCIceTransport, RTCIceTransport)


def _replace(theirs: type, ours: type) -> None:
    def new(cls: type, *_args: Any, **_options: Any) -> Any:
        return object.__new__(ours if cls is theirs else cls)

    setattr(theirs, "__new__", staticmethod(new))  # noqa: B010 - it is no method that we override
