"""An hour of coming and going, in virtual time, leaves nothing behind."""

from __future__ import annotations

import functools
import gc
import random
import tracemalloc
from typing import Any

import pytest

from natkit.turn.events import ConnectPeer
from natkit.turn.forwarding import Path, Transport
from natkit.turn.register import Register
from natkit.wire import (
    ChannelNumber,
    ConnectionId,
    EvenPort,
    Lifetime,
    Method,
    MobilityTicket,
    ReservationToken,
    TransportAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turn.desk import LISTENER, OVER_TCP, OVER_UDP, PEER, Desk, code

HOUR = 3600
CACHE = type(functools.lru_cache(abs))


def tables(register: Register) -> dict[str, int]:
    """Return the size of every table that the machine keeps."""
    kept: dict[str, Any] = vars(register)
    return {
        name: len(table)
        for name, table in kept.items()
        if isinstance(table, dict | list) or name == "agenda"
    }


def client(number: int, transport: Transport = Transport.UDP) -> Path:
    return Path(TransportAddress("203.0.113.9", 1024 + number), LISTENER, transport)


def any_client(chance: random.Random, transport: Transport = Transport.UDP) -> Path:
    return client(chance.randrange(300), transport)


def leave(desk: Desk, chance: random.Random, path: Path) -> None:
    """End a visit: delete, hang up, stay for another ten minutes, or vanish."""
    ending = chance.randrange(4)
    if ending == 0:
        desk.refresh(0, path=path)
    elif ending == 1:
        desk.server.path_closed(path, now=desk.now)
    elif ending == 2:
        desk.refresh(600, path=path)


def a_call(desk: Desk, chance: random.Random) -> None:
    path = any_client(chance, chance.choice((Transport.UDP, Transport.TLS)))
    if code(desk.ask(Method.ALLOCATE, OVER_UDP, Lifetime(600), path=path)) is not None:
        return
    peer = XorPeerAddress(PEER._replace(port=chance.randrange(1, 65536)))
    desk.ask(Method.CREATE_PERMISSION, peer, path=path)
    desk.ask(Method.CHANNEL_BIND, ChannelNumber(chance.randrange(0x4000, 0x5000)), peer, path=path)
    leave(desk, chance, path)


def a_reservation(desk: Desk, chance: random.Random) -> None:
    """Half of the reserved ports are come for; nobody comes for the others in their 30 s."""
    path, second = any_client(chance), any_client(chance)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(chance.random() < 0.8), path=path)
    token = answer.find(ReservationToken)
    if token is not None and chance.random() < 0.5:
        desk.ask(Method.ALLOCATE, OVER_UDP, token, path=second)
        leave(desk, chance, second)
    leave(desk, chance, path)


def a_move(desk: Desk, chance: random.Random) -> None:
    """Half of those whose line was cut come back with their ticket."""
    transport = chance.choice((Transport.UDP, Transport.TCP))
    path, elsewhere = any_client(chance, transport), any_client(chance, transport)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, MobilityTicket(b""), path=path)
    ticket = answer.find(MobilityTicket)
    if ticket is None:
        return
    if chance.random() < 0.5:
        desk.server.path_closed(path, now=desk.now)
    if chance.random() < 0.5:
        desk.refresh(600, ticket, path=elsewhere)
        leave(desk, chance, elsewhere)


def a_connection(desk: Desk, chance: random.Random) -> None:
    """TCP from either side, that is bound, or not, and ends on the one side or the other."""
    path, data = any_client(chance, Transport.TCP), any_client(chance, Transport.TLS)
    answer = desk.ask(Method.ALLOCATE, OVER_TCP, path=path)
    relayed = answer.find(XorRelayedAddress)
    if relayed is None:
        return
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER), path=path)
    if chance.random() < 0.5:
        desk.put(desk.signed(Method.CONNECT, XorPeerAddress(PEER), path=path), path)
        number = desk.pop(ConnectPeer)[0].connection
        outcome = chance.choice((desk.server.peer_connected, None))
        if outcome is not None:
            outcome(number, now=desk.now)
    else:
        accepted = desk.server.peer_accepted(relayed.address, PEER, now=desk.now)
        assert accepted is not None
        number = accepted
    desk.settle()
    if chance.random() < 0.5:
        desk.ask(Method.CONNECTION_BIND, ConnectionId(number), path=data)
        ending = chance.randrange(3)
        if ending == 0:
            desk.server.peer_closed(number, now=desk.now)
        elif ending == 1:
            desk.server.path_closed(data, now=desk.now)
    leave(desk, chance, path)


VISITS = (a_call, a_reservation, a_move, a_connection)


def churn(desk: Desk, chance: random.Random, seconds: int) -> set[str]:
    """Let somebody come every two seconds. Returns: the tables that had something in them."""
    used: set[str] = set()
    for _ in range(seconds // 2):
        chance.choice(VISITS)(desk, chance)
        used |= {name for name, size in tables(desk.server._register).items() if size}
        desk.nonces.clear()
        desk.wait(2.0)
        desk.facts.clear()
        desk.sent.clear()
    return used


def left(desk: Desk) -> dict[str, int]:
    """Return what is in the machine's tables, by table."""
    ledger: Any = desk.server._register.ledger
    sizes = {**tables(desk.server._register), "users": len(ledger.users)}
    return {name: size for name, size in sizes.items() if size}


def test_an_hour_of_churn_leaves_no_port_and_no_entry() -> None:
    desk, chance = Desk(), random.Random(3)
    used = churn(desk, chance, HOUR)
    # Relays open at once here, and no user is looked up elsewhere.
    assert set(tables(desk.server._register)) - used == {"pending", "opening", "waiting"}
    assert len(desk.open) > 50, "the test does not make the server work"
    desk.wait(HOUR)
    assert desk.open == set()
    assert left(desk) == {}
    assert desk.server.deadline() is None


def forget_what_is_cached() -> None:
    """Empty every lru_cache: they have bounds of their own, which a short run does not reach."""
    # By type(): isinstance() asks a weakref proxy for what it stands for, which may be gone.
    caches = [it for it in gc.get_objects() if issubclass(type(it), CACHE)]
    for cache in caches:
        cache.cache_clear()


@pytest.mark.slow
def test_churn_leaves_no_memory() -> None:
    desk, chance = Desk(), random.Random(5)
    held = []
    tracemalloc.start()
    try:
        for _ in range(3):
            churn(desk, chance, HOUR // 8)
            desk.wait(HOUR)
            desk.facts.clear()
            forget_what_is_cached()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # 225 visits in a round: fifty bytes that each leaves behind are more than this. Dictionaries
    # keep the size that they had once.
    assert held[2] - held[1] < 10_000


def test_allocating_and_deleting_fast_keeps_the_agenda_small() -> None:
    desk = Desk()
    for _ in range(2000):
        desk.allocate()
        desk.refresh(0)
        desk.facts.clear()
    agenda = desk.server._register.agenda
    # What is left are the answers kept for retransmissions.
    assert len(agenda) <= 2000
    desk.wait(40)
    assert len(agenda) == 0
