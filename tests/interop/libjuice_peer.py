"""One WebRTC peer of libdatachannel, whose ICE is libjuice; a program of its own, because its
threads do not always survive the end of an interpreter.

    python -m tests.interop.libjuice_peer offer|answer

Signalling goes in and out as lines of JSON, each an object with one of

    {"sdp": text, "type": "offer"|"answer"}   a description, without candidates
    {"candidate": text, "mid": text}          a candidate, as it is found
    {"ice": state}                            out only: the state of ICE

What comes over a data channel is sent back. It ends when its input does.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def tell(**said: Any) -> None:
    """Print a line; the library calls from several threads, and one write is one line."""
    os.write(1, f"{json.dumps(said)}\n".encode())


def main(role: str) -> None:
    """Be a peer."""
    rtc = importlib.import_module("pylibdatachannel")
    peer, kept = rtc.PeerConnection(rtc.Configuration([])), []

    def echo(channel: Any) -> None:
        kept.append(channel)
        channel.on_message(channel.send)

    peer.on_local_description(lambda it: tell(sdp=str(it), type=it.type.name.lower()))
    peer.on_local_candidate(lambda it: tell(candidate=it.candidate, mid=it.mid))
    peer.on_ice_state_change(lambda state: tell(ice=state.name.lower()))
    peer.on_data_channel(echo)
    if role == "offer":
        echo(peer.create_data_channel("calls"))
    for line in sys.stdin:
        told = json.loads(line)
        if "sdp" in told:
            kind = rtc.DescriptionType.__members__[told["type"].upper()]
            peer.set_remote_description(rtc.Description(told["sdp"], kind))
        else:
            peer.add_remote_candidate(rtc.Candidate(told["candidate"], told["mid"]))


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
