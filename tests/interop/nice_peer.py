"""One ICE agent of libnice's, as a program that needs the system's Python alone.

    /usr/bin/python3 nice_peer.py controlling|controlled

Talks in lines of JSON, each an object with some of

    {"username": text, "password": text}   the credentials of a side, told first
    {"candidate": text|null}               a candidate, as it is found; null after the last
    {"state": text}                        out only: that of the component
    {"pair": [text, text]}                 out only: the selected pair, of its side and the other's

What comes as data is sent back. It ends when its input does.
"""

import ctypes
import json
import os
import sys
import threading

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402

COMPONENT = 1

LIBRARY = ctypes.CDLL("libnice.so.10")
RECEIVED = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_char),
    ctypes.c_void_p,
)
"""The one function that introspection does not offer is the one that takes data."""


class Peer:
    """The agent, and what it is told."""

    def __init__(self, controlling: bool) -> None:
        self.agent = Nice.Agent.new(GLib.MainContext.default(), Nice.Compatibility.RFC5245)
        for name, value in {
            "controlling-mode": controlling,
            "ice-trickle": True,
            "upnp": False,
        }.items():
            self.agent.set_property(name, value)
        self.agent.connect("new-candidate-full", self._found)
        self.agent.connect("candidate-gathering-done", lambda *_: tell(candidate=None))
        self.agent.connect("component-state-changed", self._state)
        self.agent.connect("new-selected-pair-full", self._selected)
        self.stream = self.agent.add_stream(1)
        self._on_data = RECEIVED(self._received)
        LIBRARY.nice_agent_attach_recv(
            ctypes.c_void_p(hash(self.agent)), self.stream, COMPONENT, None, self._on_data, None
        )

    def start(self) -> None:
        _, username, password = self.agent.get_local_credentials(self.stream)
        tell(username=username, password=password)
        self.agent.gather_candidates(self.stream)

    def hear(self, told: dict) -> None:
        if "username" in told:
            self.agent.set_remote_credentials(self.stream, told["username"], told["password"])
        elif told["candidate"] is None:
            self.agent.peer_candidate_gathering_done(self.stream)
        else:
            text = f"a=candidate:{told['candidate']}"
            candidate = self.agent.parse_remote_candidate_sdp(self.stream, text)
            self.agent.set_remote_candidates(self.stream, COMPONENT, [candidate])

    def _found(self, _agent: object, candidate: object) -> None:
        text = self.agent.generate_local_candidate_sdp(candidate)
        tell(candidate=text.partition(":")[2])

    def _state(self, _agent: object, _stream: int, _component: int, state: int) -> None:
        tell(state=Nice.ComponentState(state).value_nick)

    def _selected(self, _agent: object, _stream: int, _component: int, *pair: object) -> None:
        said = [self.agent.generate_local_candidate_sdp(it).partition(":")[2] for it in pair]
        tell(pair=said)

    def _received(self, _agent, stream, component, length, data, _extra) -> None:
        LIBRARY.nice_agent_send(ctypes.c_void_p(hash(self.agent)), stream, component, length, data)


def tell(**said: object) -> None:
    """Print a line."""
    os.write(1, f"{json.dumps(said)}\n".encode())


def main() -> None:
    """Be a peer."""
    loop, peer = GLib.MainLoop(), Peer(sys.argv[1] == "controlling")

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(peer.hear, json.loads(line))
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    GLib.idle_add(peer.start)
    loop.run()


if __name__ == "__main__":
    main()
