"""The TURN client machine against the TURN server machine, in memory."""

from __future__ import annotations

import itertools
import random

import pytest

from natkit.network import Family, IcmpError
from natkit.turn.client import TurnClient
from natkit.turn.client_allocation import PLAIN, Wish
from natkit.turn.client_auth import Login
from natkit.turn.client_events import (
    Allocated,
    AllocationDeleted,
    AllocationFailed,
    AllocationLost,
    Cause,
    ChannelOpened,
    ClientEvent,
    DataReceived,
    PeerPermitted,
    PeerUnreachable,
    PermissionRefused,
    RefusedFamily,
)
from natkit.turn.credentials import Credentials, rest_password, rest_username
from natkit.turn.events import RequestRefused, SendToPeer
from natkit.turn.forwarding import ChannelBound, ChannelLapsed, Path, PermissionLapsed
from natkit.wire import (
    Integrity,
    Message,
    PasswordAlgorithm,
    PasswordHash,
    TransportAddress,
    UserHash,
    Username,
)
from tests.turn.desk import EPOCH, LISTENER, PEER, RELAY_IP, RELAY_IP6, TCP, UDP, Desk

ALICE = Login("alice", "secret")

_seeds = itertools.count()
"""Two clients must not use the same transaction ids: a server takes them for retransmissions."""


class Pair:
    """A client and a server with a path between them that loses nothing and takes no time.

    Attributes: requests: every message that the client has sent.
    """

    def __init__(
        self, login: Login | None = ALICE, desk: Desk | None = None, path: Path = UDP
    ) -> None:
        self.desk = desk or Desk()
        self.path = path
        rng = random.Random(next(_seeds))
        reliable = path.transport.is_stream
        self.client = TurnClient(LISTENER, login, lambda: rng.randbytes(12), reliable=reliable)
        self.requests: list[Message] = []
        self.events: list[ClientEvent] = []

    @property
    def now(self) -> float:
        return self.desk.now

    def settle(self) -> list[ClientEvent]:
        """Carry messages until both are silent; return what the client reported."""
        while outgoing := self.client.transmits():
            for transmit in outgoing:
                self.requests.append(Message.decode(transmit.data))
                for reply in self.desk.put(transmit.data, self.path):
                    self.client.receive(reply, LISTENER, now=self.now)
        out = self.client.events()
        self.events += out
        return out

    def allocate(self, wish: Wish = PLAIN) -> ClientEvent:
        self.client.allocate(wish, now=self.now)
        (event,) = self.settle()
        return event

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (at := self.client.deadline()) is not None and at <= until:
            self.desk.wait(at - self.now)
            self.client.tick(now=self.now)
            self.settle()
        self.desk.wait(until - self.now)


def test_sha256_and_userhash_end_to_end() -> None:
    pair = Pair()
    event = pair.allocate()
    assert isinstance(event, Allocated)
    assert event.relayed[0].ip == RELAY_IP
    assert event.mapped == UDP.client
    _, signed = pair.requests
    assert signed.integrity is Integrity.SHA256
    assert signed.find(PasswordAlgorithm) == PasswordAlgorithm(PasswordHash.SHA256)
    assert signed.find(UserHash) is not None
    assert signed.find(Username) is None


def test_time_limited_name_is_sent_in_full_and_taken() -> None:
    name = rest_username("alice", expires=int(EPOCH) + 10_000)
    desk = Desk(credentials=Credentials(secrets=("shared",)))
    pair = Pair(Login(name, rest_password("shared", name)), desk)
    assert isinstance(pair.allocate(), Allocated)
    assert pair.requests[-1].find(Username) == Username(name)


@pytest.mark.parametrize("login", [Login("alice", "wrong"), Login("nobody", "secret")])
def test_wrong_login_ends_with_401_after_two_requests(login: Login) -> None:
    pair = Pair(login)
    event = pair.allocate()
    assert isinstance(event, AllocationFailed)
    assert (event.failure.cause, event.failure.code) == (Cause.REFUSED, 401)
    assert len(pair.requests) == 2
    first, second = pair.desk.pop(RequestRefused)
    assert (first.routine, second.routine) == (True, False)


def test_allocation_channel_and_permission_last_for_hours() -> None:
    pair = Pair()
    pair.allocate()
    pair.client.open_channel(PEER, now=pair.now)
    other = TransportAddress("8.8.8.8", 1)
    pair.client.permit(other.ip, now=pair.now)
    pair.settle()
    pair.wait(3 * 3600)
    assert not [event for event in pair.events if isinstance(event, AllocationLost)]
    assert not pair.desk.pop(PermissionLapsed)
    assert not pair.desk.pop(ChannelLapsed)
    assert len(pair.desk.pop(ChannelBound)) == 1 + 3 * 3600 // 540
    # Three hours outlive two nonces, so some of these requests have met a 438.
    refused = [event.code for event in pair.desk.pop(RequestRefused)]
    assert refused[0] == 401
    assert set(refused[1:]) == {438}


def test_client_that_stops_ticking_loses_all_of_it() -> None:
    pair = Pair()
    pair.allocate()
    pair.desk.wait(601)
    pair.client.permit(PEER.ip, now=pair.now)
    refused, lost = pair.settle()
    assert isinstance(refused, PermissionRefused)
    assert isinstance(lost, AllocationLost)
    assert not pair.desk.open


def test_data_goes_to_the_peer_and_comes_back() -> None:
    pair = Pair()
    made = pair.allocate()
    assert isinstance(made, Allocated)
    pair.client.send(PEER, b"there", now=pair.now)
    (permitted,) = pair.settle()
    assert isinstance(permitted, PeerPermitted)
    (sent,) = pair.desk.pop(SendToPeer)
    assert (sent.relayed, sent.peer, sent.data) == (made.relayed[0], PEER, b"there")
    pair.desk.server.from_peer(sent.relayed, b"back", PEER, now=pair.now)
    deliver(pair)
    assert pair.settle() == [DataReceived(PEER, b"back")]


def test_icmp_error_at_the_relay_reaches_the_client() -> None:
    pair = Pair()
    made = pair.allocate()
    assert isinstance(made, Allocated)
    pair.client.permit(PEER.ip, now=pair.now)
    pair.settle()
    error = IcmpError(3, 3, PEER, None)
    pair.desk.server.peer_error(made.relayed[0], error, now=pair.now)
    deliver(pair)
    assert pair.settle() == [PeerUnreachable(PEER, 3, 3)]


def deliver(pair: Pair) -> None:
    """Hand the client what the server sends by itself."""
    pair.desk.settle()
    for _, data in pair.desk.server.transmits() or pair.desk.sent:
        pair.client.receive(data, LISTENER, now=pair.now)
    pair.desk.sent.clear()


def test_channel_opens_with_the_first_number() -> None:
    pair = Pair()
    pair.allocate()
    pair.client.open_channel(PEER, now=pair.now)
    assert pair.settle()[0] == ChannelOpened(PEER, 0x4000)


def test_denied_peer_is_refused_and_the_allocation_stays() -> None:
    pair = Pair()
    pair.allocate()
    pair.client.permit("10.0.0.1", now=pair.now)
    (event,) = pair.settle()
    assert isinstance(event, PermissionRefused)
    assert event.failure.code == 403
    pair.client.permit(PEER.ip, now=pair.now)
    assert isinstance(pair.settle()[0], PeerPermitted)


def test_deleted_allocation_leaves_nothing_open() -> None:
    pair = Pair()
    pair.allocate()
    pair.client.delete(now=pair.now)
    assert pair.settle() == [AllocationDeleted(confirmed=True)]
    assert not pair.desk.open


def test_both_families_are_granted() -> None:
    event = Pair().allocate(Wish((Family.IPV4, Family.IPV6)))
    assert isinstance(event, Allocated)
    assert [at.ip for at in event.relayed] == [RELAY_IP, RELAY_IP6]


def test_one_family_of_two_is_told_as_refused() -> None:
    desk = Desk()
    desk.refuse = {Family.IPV6}
    event = Pair(desk=desk).allocate(Wish((Family.IPV4, Family.IPV6)))
    assert isinstance(event, Allocated)
    (refused,) = event.refused
    assert isinstance(refused, RefusedFamily)
    assert (refused.family, refused.code) == (Family.IPV6, 508)


def test_reserved_port_is_had_by_its_token() -> None:
    desk = Desk()
    first = Pair(desk=desk)
    made = first.allocate(Wish(even=True, reserve=True))
    assert isinstance(made, Allocated)
    assert made.relayed[0].port % 2 == 0
    second = Pair(desk=desk, path=UDP._replace(client=TransportAddress("203.0.113.5", 40001)))
    event = second.allocate(Wish(token=made.token))
    assert isinstance(event, Allocated)
    assert event.relayed[0] == made.relayed[0]._replace(port=made.relayed[0].port + 1)


def test_second_client_on_one_address_gets_a_mismatch() -> None:
    desk = Desk()
    Pair(desk=desk).allocate()
    event = Pair(desk=desk).allocate()
    assert isinstance(event, AllocationFailed)
    assert event.failure.code == 437


def test_draining_server_names_its_alternate() -> None:
    desk = Desk()
    elsewhere = TransportAddress("198.51.100.2", 3478)
    desk.server.drain([elsewhere], now=desk.now)
    event = Pair(desk=desk).allocate()
    assert isinstance(event, AllocationFailed)
    assert (event.failure.code, event.failure.alternate) == (300, elsewhere)


def test_tcp_client_allocates_alike() -> None:
    assert isinstance(Pair(path=TCP).allocate(), Allocated)
