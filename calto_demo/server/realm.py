"""The PeerJS server's realm: who is there by which id, and messages between them.

As peerjs-server 1.0.2 does it, but for what is wrong there: who comes back gets OPEN, and their old
socket is closed; an id stays its owner's for a minute after the socket dropped; an offer to nobody
expires at once; what expires is a message, and not a queue with all that is in it; everything is
bounded.

Rule of the file: no clock and no I/O. Times are seconds that never go back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from calto_demo.server.frames import write
from calto_demo.server.hub import Line

KEY = "peerjs"
ALIVE_TIME = 60.0
"""Seconds without a frame, after which a client is gone: it says HEARTBEAT every five."""

EXPIRE_TIME = 5.0
RESERVED = 60.0
"""Seconds that an id is kept for who had it."""

MOST_CLIENTS, MOST_QUEUED, LONGEST_ID = 5000, 50, 128
"""Clients, those with a reserved id included; messages that wait for one; characters."""

CLOSED = 1000
_RELAYED = frozenset({"OFFER", "ANSWER", "CANDIDATE"})
_PASSED = frozenset({"LEAVE", "EXPIRE"})

NO_ID = "No id, token, or key supplied to websocket server"
BAD_KEY = "Invalid key provided"
FULL = "Server has reached its concurrent user limit"


class Waiting(NamedTuple):
    """A message for somebody who is not there."""

    until: float
    frame: dict[str, Any]


@dataclass(slots=True)
class Client:
    """Who has an id. Attributes: line: None: nobody, since `seen`; it is reserved."""

    token: str
    line: Line | None
    seen: float


class Realm:
    """Ids, their owners, and what waits for them."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._waiting: dict[str, deque[Waiting]] = {}

    def is_connected(self, peer: str) -> bool:
        """Tell whether somebody is there by an id."""
        client = self._clients.get(peer)
        return client is not None and client.line is not None

    def connect(self, peer: str, token: str, line: Line, *, now: float) -> bool:
        """Let a client in; False: it was told why not, and is closed."""
        known = self._clients.get(peer)
        if known is not None and known.token != token and not self._is_free(known, now):
            return _refuse(line, "ID-TAKEN", "ID is taken")
        if known is None and len(self._clients) >= MOST_CLIENTS:
            return _refuse(line, "ERROR", FULL)
        if known is not None and known.line is not None:
            known.line.close(CLOSED, "another socket has this id")
        self._clients[peer] = Client(token, line, now)
        line.send(write({"type": "OPEN"}))
        for waiting in self._waiting.pop(peer, ()):
            if now < waiting.until:
                line.send(write(waiting.frame))
        return True

    def receive(self, peer: str, line: Line, data: str | bytes, *, now: float) -> None:
        """Take a frame; what is none is ignored, as clients expect."""
        client = self._clients.get(peer)
        if client is None or client.line is not line:
            return
        client.seen = now
        try:
            frame = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return
        match frame:
            case {"type": str(kind), "dst": str(to)} if to and kind in _RELAYED | _PASSED:
                # The sender is who the socket belongs to, whatever the frame says.
                passed = {"type": kind, "src": peer, "dst": to}
                if "payload" in frame:
                    passed["payload"] = frame["payload"]
                self._relay(client, passed, now)
            case {"type": "LEAVE"}:
                del self._clients[peer]

    def _relay(self, sender: Client, frame: dict[str, Any], now: float) -> None:
        kind, to = frame["type"], frame["dst"]
        client = self._clients.get(to)
        if client is not None and client.line is not None:
            client.line.send(write(frame))
        elif kind in _RELAYED and client is not None and now < client.seen + EXPIRE_TIME:
            queue = self._waiting.setdefault(to, deque(maxlen=MOST_QUEUED))
            queue.append(Waiting(now + EXPIRE_TIME, frame))
        elif kind == "OFFER" and sender.line is not None:
            sender.line.send(_expired(frame))

    def drop(self, peer: str, line: Line, *, now: float) -> None:
        """Note that a socket is gone; its id stays reserved."""
        client = self._clients.get(peer)
        if client is not None and client.line is line:
            client.line, client.seen = None, now

    def tick(self, *, now: float) -> None:
        """Let go of who is silent, of ids whose time is over, and of what nobody fetched."""
        for peer, client in list(self._clients.items()):
            if client.line is not None and now >= client.seen + ALIVE_TIME:
                client.line.close(CLOSED, "no heartbeat")
                client.line = None
            elif self._is_free(client, now):
                del self._clients[peer]
        for to, queue in list(self._waiting.items()):
            self._expire(queue, now)
            if not queue:
                del self._waiting[to]

    def _expire(self, queue: deque[Waiting], now: float) -> None:
        told = set()
        while queue and queue[0].until <= now:
            frame = queue.popleft().frame
            sender = self._clients.get(frame["src"])
            if sender is not None and sender.line is not None and frame["src"] not in told:
                told.add(frame["src"])
                sender.line.send(_expired(frame))

    @staticmethod
    def _is_free(client: Client, now: float) -> bool:
        return client.line is None and now >= client.seen + RESERVED


def _expired(frame: dict[str, Any]) -> bytes:
    """Return what tells a sender that nobody took a frame."""
    return write({"type": "EXPIRE", "src": frame["dst"], "dst": frame["src"]})


def _refuse(line: Line, kind: str, message: str) -> bool:
    line.send(write({"type": kind, "payload": {"msg": message}}))
    line.close(CLOSED, message)
    return False
