"""Two WebRTC peers of libdatachannel that meet through a TURN server; a program of its own, because
its threads do not always survive the end of an interpreter.

    python -m tests.interop.libjuice_pair HOST PORT USER PASSWORD

Each is told the relayed address of the other alone. Prints what came back over a data channel.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

PATIENCE = 20.0


def main(host: str, port: str, user: str, password: str) -> str:
    """Return what came back, or "nothing"."""
    rtc = importlib.import_module("pylibdatachannel")
    relay = rtc.IceServer(host, int(port), user, password, rtc.IceServerRelayType.TURN_UDP)
    ours, theirs = (rtc.PeerConnection(rtc.Configuration([relay])) for _ in range(2))
    introduce(rtc, ours, theirs)
    introduce(rtc, theirs, ours)
    kept: list[Any] = []

    def echo(channel: Any) -> None:
        kept.append(channel)
        channel.on_message(channel.send)

    theirs.on_data_channel(echo)
    heard: list[str] = []
    done = threading.Event()
    channel = ours.create_data_channel("echo")
    channel.on_open(lambda: channel.send("hello"))
    channel.on_message(lambda text: (heard.append(text), done.set()))
    return heard[0] if done.wait(PATIENCE) else "nothing"


def introduce(rtc: Any, one: Any, other: Any) -> None:
    """Tell `other` what `one` offers, of its addresses only the relayed one."""

    def describe(description: Any) -> None:
        lines = str(description).splitlines()
        without = [line for line in lines if not line.startswith("a=candidate")]
        other.set_remote_description(rtc.Description("\r\n".join([*without, ""]), description.type))

    def candidate(found: Any) -> None:
        if "typ relay" in found.candidate:
            other.add_remote_candidate(found)

    one.on_local_description(describe)
    one.on_local_candidate(candidate)


if __name__ == "__main__":
    print(main(*sys.argv[1:]), flush=True)
    os._exit(0)
