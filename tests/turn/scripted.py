"""A TURN server of a few lines, for tests of the client: it signs, and says what a test says."""

from __future__ import annotations

from itertools import count

from natkit.turn.client import TurnClient
from natkit.turn.client_auth import Login
from natkit.turn.client_events import ClientEvent
from natkit.wire import (
    Attribute,
    Integrity,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    Software,
    TransportAddress,
    XorMappedAddress,
    XorRelayedAddress,
    long_term_key,
)

SERVER = TransportAddress("192.0.2.1", 3478)
MAPPED = TransportAddress("203.0.113.5", 40000)
RELAYED = TransportAddress("192.0.2.1", 50000)
PEER = TransportAddress("198.51.100.7", 6000)
LOGIN = Login("alice", "wonderland")
REALM = "example.org"
KEY = long_term_key("alice", REALM, "wonderland")
CHALLENGE: tuple[Attribute, ...] = (Realm(REALM), Nonce("n1"))


def client(login: Login | None = LOGIN, *, reliable: bool = False) -> TurnClient:
    """Return a client whose transaction ids count from one."""
    numbers = count(1)
    return TurnClient(SERVER, login, lambda: next(numbers).to_bytes(12, "big"), reliable=reliable)


def sent(machine: TurnClient) -> Message:
    """Return the only message that goes out."""
    (transmit,) = machine.transmits()
    assert transmit.destination == SERVER
    return Message.decode(transmit.data)


def answer(
    machine: TurnClient,
    response: Message,
    *,
    key: bytes | None = KEY,
    integrity: Integrity = Integrity.SHA1,
    now: float = 0.0,
) -> list[ClientEvent]:
    """Give the machine a response and return what it made of it."""
    machine.receive(response.encode(key=key, integrity=integrity), SERVER, now=now)
    return machine.events()


def challenge(machine: TurnClient, *extra: Attribute, now: float = 0.0) -> Message:
    """Answer the first request with a 401 and return the next one."""
    assert answer(machine, sent(machine).error(401, "Who?", *(extra or CHALLENGE)), key=None) == []
    return sent(machine)


def granted(request: Message, lifetime: int = 600) -> Message:
    """Return the success response to an Allocate."""
    assert request.method is Method.ALLOCATE
    assert request.message_class is MessageClass.REQUEST
    return request.success(
        XorRelayedAddress(RELAYED),
        XorMappedAddress(MAPPED),
        Lifetime(lifetime),
        Software("scripted"),
    )


def allocated(*, reliable: bool = False, lifetime: int = 600, now: float = 0.0) -> TurnClient:
    """Return a client that has an allocation since `now`."""
    machine = client(reliable=reliable)
    machine.allocate(now=now)
    answer(machine, granted(challenge(machine, now=now), lifetime), now=now)
    return machine


def data_indication(*attributes: Attribute) -> bytes:
    return Message.indication(Method.DATA, bytes(12), *attributes).encode()
