"""Whatever clients, peers and time do, the machine's tables agree with one another."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natkit.turn.events import CloseRelay, ConnectPeer, OpenRelay
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    AllocationMoved,
    ChannelBound,
    ChannelLapsed,
    Path,
    PermissionGranted,
    PermissionLapsed,
)
from natkit.turn.quota import Limits, LocalLedger
from natkit.wire import (
    AdditionalAddressFamily,
    ChannelNumber,
    ConnectionId,
    EvenPort,
    Lifetime,
    Message,
    Method,
    MobilityTicket,
    ReservationToken,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.desk import DATA_TCP, OTHER, OVER_TCP, OVER_UDP, PEER, PEER6, TCP, UDP, Desk

PATHS = (UDP, OTHER, TCP, DATA_TCP)
PEERS = (PEER, PEER6, PEER._replace(port=1), TransportAddress("10.0.0.1", 1))
WAYS = (
    (OVER_UDP,),
    (OVER_UDP, EvenPort(True)),
    (OVER_UDP, AdditionalAddressFamily(2)),
    (OVER_UDP, MobilityTicket(b"")),
    (OVER_TCP,),
    (OVER_TCP, MobilityTicket(b"")),
)


class Plane:
    """What a data plane knows from the facts alone, checked as they come."""

    def __init__(self) -> None:
        self.paths: dict[TransportAddress, Path] = {}
        self.permissions: set[tuple[TransportAddress, str]] = set()
        self.channels: dict[tuple[TransportAddress, int], TransportAddress] = {}

    def apply(self, fact: object) -> None:
        match fact:
            case AllocationMade(path, relayed):
                assert relayed not in self.paths
                self.paths[relayed] = path
            case AllocationMoved(relayed, old, path):
                assert self.paths[relayed] == old
                self.paths[relayed] = path
            case PermissionGranted(relayed, ip):
                assert relayed in self.paths
                self.permissions.add((relayed, ip))
            case PermissionLapsed(relayed, ip):
                self.permissions.remove((relayed, ip))
            case ChannelBound(relayed, channel, peer, path):
                assert self.paths[relayed] == path
                assert self.channels.get((relayed, channel), peer) == peer
                self.channels[relayed, channel] = peer
            case ChannelLapsed(relayed, channel, peer, path):
                assert self.paths[relayed] == path
                assert self.channels.pop((relayed, channel)) == peer
            case AllocationClosed(path, relayed):
                assert self.paths.pop(relayed) == path
                self.permissions = {it for it in self.permissions if it[0] != relayed}
                self.channels = {k: v for k, v in self.channels.items() if k[0] != relayed}
            case _:
                pass


class World:
    """A desk on which anything may happen."""

    def __init__(self) -> None:
        self.desk = Desk(limits=Limits(allocations_per_user=5))
        self.plane = Plane()
        self.tokens: list[ReservationToken] = [ReservationToken(bytes(8))]
        self.tickets: list[MobilityTicket] = [MobilityTicket(bytes(16))]
        self.connections = [0]

    def step(self, kind: int, path: Path, pick: int) -> None:
        desk = self.desk
        who = {"user": "bob", "password": "hush"} if pick % 5 == 4 else {}
        peer = XorPeerAddress(PEERS[pick % 4])
        if kind == 0:
            self.ask(Method.ALLOCATE, *WAYS[pick % 6], path=path, **who)
        elif kind == 1:
            self.ask(Method.REFRESH, Lifetime((0, 600, 3600)[pick % 3]), path=path, **who)
        elif kind == 2:
            self.ask(Method.CREATE_PERMISSION, peer, path=path, **who)
        elif kind == 3:
            number = ChannelNumber(0x4000 + pick % 3)
            self.ask(Method.CHANNEL_BIND, number, peer, path=path, **who)
        elif kind == 4:
            self.ask(Method.CONNECT, peer, path=path, **who)
        elif kind == 5:
            number_of = ConnectionId(self.connections[-1 - pick % len(self.connections)])
            self.ask(Method.CONNECTION_BIND, number_of, path=path, **who)
        elif kind == 6:
            self.ask(Method.ALLOCATE, OVER_UDP, self.tokens[pick % len(self.tokens)], path=path)
        elif kind == 7:
            ticket = self.tickets[-1 - pick % len(self.tickets)]
            self.ask(Method.REFRESH, Lifetime(600), ticket, path=path, **who)
        elif kind == 8:
            desk.server.path_closed(path, now=desk.now)
        elif kind == 9:
            desk.wait((1, 30, 45, 299, 300, 601)[pick % 6])
        elif kind == 10:
            desk.held = [] if desk.held is None else desk.held
        elif kind == 11:
            held, desk.held = desk.held or [], None
            for command in held:
                desk.answer(command)
        elif kind == 12:
            for relayed in sorted(desk.open):
                desk.server.peer_accepted(relayed, PEERS[pick % 4], now=desk.now)
        elif kind == 13:
            connection = self.connections[-1 - pick % len(self.connections)]
            outcome = (desk.server.peer_connected, desk.server.peer_closed)[pick % 2]
            outcome(connection, now=desk.now)
        elif kind == 14:
            desk.refuse = set(desk.settings.families[pick % 3 :])
        desk.settle()

    def ask(self, method: Method, *said: Any, path: Path, **who: Any) -> None:
        request = self.desk.signed(method, *said, path=path, **who)
        for data in self.desk.put(request, path):
            answer = Message.decode(data)
            self.tokens += answer.find_all(ReservationToken)
            self.tickets += answer.find_all(MobilityTicket)

    def check(self) -> None:
        """Hold every table against every other."""
        desk, register = self.desk, self.desk.server._register
        for fact in desk.facts:
            self.plane.apply(fact)
            if isinstance(fact, ConnectPeer):
                self.connections.append(fact.connection)
        desk.facts.clear()
        placed = [*register.by_path.items(), *register.strayed.items()]
        assert all(allocation.path == path for path, allocation in placed)
        alive = {id(allocation): allocation for _, allocation in placed}
        assert len(alive) == len(placed)
        relays = {relayed: a for a in alive.values() for relayed in a.relays.values()}
        assert relays == register.by_relayed
        assert {relayed: a.path for relayed, a in relays.items()} == self.plane.paths
        reserved = {reservation.relayed for reservation in register.reservations.values()}
        assert desk.open == relays.keys() | reserved
        tickets = {ticket: a for a in alive.values() for ticket in a.tickets}
        assert tickets == register.by_ticket
        numbers = {number for a in alive.values() for number in a.connections}
        assert numbers == register.connections.keys()
        permitted = {(a.relay_to(ip), ip) for a in alive.values() for ip in a.permissions}
        assert permitted == self.plane.permissions
        for allocation in alive.values():
            assert len(allocation.peers) == len(allocation.channels)
        ending = {
            *alive.values(),
            *register.reservations.values(),
            *register.answered.values(),
            *(it for it in register.connections.values() if it.bound_to is None),
        }
        assert ending == register.agenda._due.keys()
        self.check_ledger()

    def check_ledger(self) -> None:
        register = self.desk.server._register
        counted: Counter[str] = Counter()
        for allocation in {id(a): a for a in register.by_relayed.values()}.values():
            counted[allocation.client.account] += 1
        for reservation in register.reservations.values():
            counted[reservation.account] += 1
        for pending in {id(p): p for p in register.opening.values()}.values():
            counted[pending.asked.client.account] += 1 + pending.reserve
        assert isinstance(register.ledger, LocalLedger)
        assert register.ledger.users == counted
        assert max(counted.values(), default=0) <= 5


STEP = st.tuples(st.integers(0, 14), st.sampled_from(PATHS), st.integers(0, 59))


@settings(max_examples=80, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_tables_agree_whatever_happens_and_empty_in_the_end(
    steps: list[tuple[int, Path, int]],
) -> None:
    world = World()
    for kind, path, pick in steps:
        world.step(kind, path, pick)
        world.check()
    world.step(11, UDP, 0)
    world.check()
    world.desk.wait(4000)
    world.check()
    assert world.desk.open == set()
    assert world.plane.paths == {}
    assert world.plane.channels == {}
    assert world.desk.server.deadline() is None


WEIGHTS = (6, 2, 4, 4, 4, 4, 2, 3, 1, 2, 1, 2, 3, 4, 1)
"""How often each kind of step is taken on a walk: most of what is refused is refused at once."""


@pytest.mark.parametrize("seed", range(5))
def test_tables_agree_on_a_long_walk(seed: int) -> None:
    chance, world = random.Random(seed), World()
    for _ in range(300):
        [kind] = chance.choices(range(15), WEIGHTS)
        world.step(kind, chance.choice(PATHS), chance.randrange(60))
        world.check()


def test_every_relay_that_opens_is_closed_once() -> None:
    desk = Desk()
    for way in WAYS * 3:
        path = TCP if way[0] is OVER_TCP else UDP
        desk.ask(Method.ALLOCATE, *way, path=path)
        desk.refresh(0, path=path)
        desk.wait(30)
    opened = sum(1 + command.reserve for command in desk.pop(OpenRelay))
    closed = [command.relayed for command in desk.pop(CloseRelay)]
    assert len(set(closed)) == len(closed) == opened
