"""An hour of coming and going, in virtual time, leaves nothing behind."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

from natkit.turn.events import ConnectPeer
from natkit.turn.forwarding import Path
from natkit.turn.register import Register
from natkit.wire import (
    ChannelNumber,
    EvenPort,
    Lifetime,
    Method,
    MobilityTicket,
    RequestedTransport,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.desk import LISTENER, OVER_UDP, PEER, TCP, UDP, Desk, code

HOUR = 3600


def tables(register: Register) -> dict[str, int]:
    """Return the size of every table that the machine keeps."""
    kept: dict[str, Any] = vars(register)
    return {
        name: len(table)
        for name, table in kept.items()
        if isinstance(table, dict | list) or name == "agenda"
    }


def client(number: int) -> Path:
    return Path(TransportAddress("203.0.113.9", 1024 + number), LISTENER, UDP.transport)


def one_visit(desk: Desk, chance: random.Random, path: Path) -> None:
    """Do what one client does: allocate, use it, and leave in one of four ways."""
    wanted = chance.choice(([], [EvenPort(True)], [EvenPort(False)], [MobilityTicket(b"")]))
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, Lifetime(600), *wanted, path=path)
    if code(answer) is not None:
        return
    peer = XorPeerAddress(PEER._replace(port=chance.randrange(1, 65536)))
    desk.ask(Method.CREATE_PERMISSION, peer, path=path)
    desk.ask(Method.CHANNEL_BIND, ChannelNumber(chance.randrange(0x4000, 0x5000)), peer, path=path)
    ending = chance.randrange(4)
    if ending == 0:
        desk.refresh(0, path=path)
    elif ending == 1:
        desk.server.path_closed(path, now=desk.now)
    elif ending == 2:
        desk.refresh(600, path=path)


def churn(desk: Desk, chance: random.Random, seconds: int) -> None:
    for _ in range(seconds // 2):
        path = client(chance.randrange(300))
        one_visit(desk, chance, path)
        desk.nonces.clear()
        desk.wait(2.0)
        desk.facts.clear()
        desk.sent.clear()


def test_an_hour_of_churn_leaves_no_port_and_no_entry() -> None:
    desk, chance = Desk(), random.Random(3)
    churn(desk, chance, HOUR)
    assert len(desk.open) > 50, "the test does not make the server work"
    desk.wait(HOUR)
    assert desk.open == set()
    left = {name: size for name, size in tables(desk.server._register).items() if size}
    assert left == {}
    assert desk.server._register.ledger.users == {}  # type: ignore[attr-defined]
    assert desk.server.deadline() is None


def test_churn_does_not_grow_once_it_is_steady() -> None:
    desk, chance = Desk(), random.Random(5)
    churn(desk, chance, HOUR // 2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    churn(desk, chance, HOUR // 4)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # As many clients come as go: what is there now replaces what was there before, so all of it
    # is traced. 300 clients of 5 kB are the most there can be.
    assert grown < 300 * 5000


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


def test_tcp_relaying_leaves_nothing() -> None:
    desk = Desk()
    for number in range(200):
        desk.allocate(RequestedTransport(6), path=TCP)
        desk.put(desk.signed(Method.CONNECT, XorPeerAddress(PEER), path=TCP), TCP)
        [command] = desk.pop(ConnectPeer)
        if number % 2:
            desk.server.peer_connected(command.connection, now=desk.now)
        desk.server.path_closed(TCP, now=desk.now)
        desk.settle()
    assert {name: size for name, size in tables(desk.server._register).items() if size} == {}
