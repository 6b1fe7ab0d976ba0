"""A TURN server machine with a driver that opens relays out of thin air, and clients that sign."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, TypeVar

from natkit.network import Family
from natkit.turn.credentials import Credentials
from natkit.turn.events import CloseRelay, OpenRelay, ToClient, TurnEvent
from natkit.turn.forwarding import Path, Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import (
    Attribute,
    ErrorCode,
    Integrity,
    Lifetime,
    Message,
    Method,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Realm,
    RequestedTransport,
    TransportAddress,
    Unrecognised,
    Username,
    XorRelayedAddress,
    long_term_key,
)

E = TypeVar("E")

REALM = "example.org"
EPOCH = 1_800_000_000.0
LISTENER = TransportAddress("198.51.100.1", 3478)
UDP = Path(TransportAddress("203.0.113.5", 40000), LISTENER, Transport.UDP)
OTHER = Path(TransportAddress("203.0.113.6", 40000), LISTENER, Transport.UDP)
TCP = Path(TransportAddress("203.0.113.5", 50000), LISTENER, Transport.TCP)
DATA_TCP = Path(TransportAddress("203.0.113.5", 50001), LISTENER, Transport.TCP)
PEER = TransportAddress("8.8.4.4", 5000)
PEER6 = TransportAddress("2600::1", 5000)
RELAY_IP, RELAY_IP6 = "9.9.9.9", "2620:fe::9"

OVER_UDP = RequestedTransport(17)
OVER_TCP = RequestedTransport(6)

SETTINGS = Settings(
    REALM,
    Credentials({"alice": "secret", "bob": "hush"}),
    b"0123456789abcdef",
    PeerPolicy(own=frozenset({LISTENER}), relayed=frozenset({RELAY_IP, RELAY_IP6})),
    families=(Family.IPV4, Family.IPV6),
)


class Desk:
    """One server, its driver, and any number of clients.

    Attributes:
        now:    the clock; tests move it.
        facts:  every event that was handed out.
        open:   relayed addresses that are open.
        refuse: families that cannot be opened.
        held:   None: relays open at once; a list: OpenRelay commands wait in it.
    """

    def __init__(self, settings: Settings = SETTINGS, seed: int = 1, **changes: Any) -> None:
        self.random = random.Random(seed)
        self.settings = replace(settings, **changes)
        self.server = TurnServer(self.settings, randomness=self.random.randbytes, epoch=EPOCH)
        self.now = 1000.0
        self.facts: list[TurnEvent] = []
        self.sent: list[ToClient] = []
        self.open: set[TransportAddress] = set()
        self.refuse: set[Family] = set()
        self.held: list[OpenRelay] | None = None
        self.next_port = 50000
        self.nonces: dict[Path, str] = {}
        self.users: dict[Path, tuple[str, str]] = {}

    # --- the driver

    def settle(self) -> None:
        """Carry out what the machine asks for, until it asks no more."""
        while True:
            self.sent += self.server.transmits()
            events = self.server.events()
            if not events:
                return
            self.facts += events
            for event in events:
                if isinstance(event, OpenRelay):
                    if self.held is None:
                        self.answer(event)
                    else:
                        self.held.append(event)
                elif isinstance(event, CloseRelay):
                    self.open.remove(event.relayed)

    def answer(self, command: OpenRelay) -> None:
        if command.family in self.refuse:
            self.server.relay_failed(command.ticket, "no port is free", now=self.now)
            return
        ip = RELAY_IP if command.family is Family.IPV4 else RELAY_IP6
        self.next_port += 2 if self.next_port % 2 == 0 else 1
        relayed = TransportAddress(ip, self.next_port)
        self.open.add(relayed)
        if command.reserve:
            self.open.add(TransportAddress(ip, self.next_port + 1))
            self.next_port += 1
        else:
            self.next_port += 1
        self.server.relay_opened(command.ticket, relayed, now=self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick at each deadline."""
        until = self.now + seconds
        while (at := self.server.deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            self.server.tick(now=self.now)
            self.settle()
        self.now = until
        self.server.tick(now=self.now)
        self.settle()

    def pop(self, kind: type[E]) -> list[E]:
        """Take out the events of one kind."""
        found: list[E] = [fact for fact in self.facts if isinstance(fact, kind)]
        self.facts = [fact for fact in self.facts if not isinstance(fact, kind)]
        return found

    # --- a client

    def put(self, data: bytes, path: Path = UDP) -> list[bytes]:
        """Send bytes. Returns: what comes back along the same path."""
        self.settle()
        self.sent.clear()
        self.server.receive(data, path, now=self.now)
        self.settle()
        return [sent.data for sent in self.sent if sent.path == path]

    def nonce(self, path: Path) -> str:
        """Return a nonce that is good on `path`."""
        if path not in self.nonces:
            plain = Message.request(Method.ALLOCATE, self.random.randbytes(12))
            challenge = Message.decode(self.put(plain.encode(), path)[0])
            found = challenge.find(Nonce)
            assert found is not None
            self.nonces[path] = found.text
        return self.nonces[path]

    def signed(
        self,
        method: Method,
        *attributes: Attribute | Unrecognised,
        path: Path = UDP,
        user: str = "alice",
        password: str = "secret",
        sha256: bool = False,
    ) -> bytes:
        """Return a signed request."""
        proof: tuple[Attribute, ...] = (Username(user), Realm(REALM), Nonce(self.nonce(path)))
        algorithm = PasswordHash.SHA256 if sha256 else PasswordHash.MD5
        if sha256:
            offered = (PasswordAlgorithm(2), PasswordAlgorithm(1))
            proof += PasswordAlgorithms(offered), PasswordAlgorithm(2)
        request = Message.request(method, self.random.randbytes(12), *attributes, *proof)
        key = long_term_key(user, REALM, password, algorithm)
        return request.encode(key=key, integrity=Integrity.SHA256 if sha256 else Integrity.SHA1)

    def ask(
        self, method: Method, *attributes: Attribute | Unrecognised, path: Path = UDP, **who: Any
    ) -> Message:
        """Send a signed request. Returns: its answer."""
        [answer] = self.put(self.signed(method, *attributes, path=path, **who), path)
        return Message.decode(answer)

    def allocate(self, *attributes: Attribute, path: Path = UDP, **who: Any) -> TransportAddress:
        """Allocate. Returns: the relayed address."""
        if not any(isinstance(it, RequestedTransport) for it in attributes):
            attributes = (OVER_UDP, *attributes)
        answer = self.ask(Method.ALLOCATE, *attributes, path=path, **who)
        relayed = answer.find(XorRelayedAddress)
        assert relayed is not None, answer
        return relayed.address

    def refresh(self, seconds: int, *attributes: Attribute, **how: Any) -> Message:
        return self.ask(Method.REFRESH, Lifetime(seconds), *attributes, **how)


def code(answer: Message) -> int | None:
    """Return the error code of an answer; None: it is a success."""
    error = answer.find(ErrorCode)
    return None if error is None else error.code


def seconds(answer: Message) -> int:
    """Return LIFETIME of an answer."""
    lifetime = answer.find(Lifetime)
    assert lifetime is not None, answer
    return lifetime.seconds
