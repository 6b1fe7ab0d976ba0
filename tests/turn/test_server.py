"""The TURN server as a whole: Binding, what is dropped, draining, other settings, the end."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.stun.server import Site
from natkit.turn.credentials import Credentials, rest_password, rest_username
from natkit.turn.events import ClosePeer, ConnectPeer, LookUpUser, OpenRelay
from natkit.turn.forwarding import (
    AllocationClosed,
    ChannelLapsed,
    CloseReason,
    Path,
    PermissionLapsed,
    Transport,
)
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Limits, LocalLedger
from natkit.turn.register import Register
from natkit.wire import (
    AlternateServer,
    ChangeRequest,
    ChannelNumber,
    Data,
    EvenPort,
    Message,
    MessageClass,
    Method,
    MobilityTicket,
    Priority,
    TransportAddress,
    UnknownAttributes,
    Unrecognised,
    XorMappedAddress,
    XorPeerAddress,
)
from tests.turn.desk import (
    DATA_TCP,
    EPOCH,
    LISTENER,
    OTHER,
    OVER_TCP,
    OVER_UDP,
    PEER,
    SETTINGS,
    TCP,
    UDP,
    Desk,
    code,
)

ID = bytes(range(12))
BINDING = Message.request(Method.BINDING, ID)


# --- Binding


@pytest.mark.parametrize("path", [UDP, TCP])
def test_binding_needs_no_account_and_is_answered_with_32_bytes(path: Path) -> None:
    [answer] = Desk().put(BINDING.encode(), path)
    assert len(answer) == 32
    assert Message.decode(answer).find(XorMappedAddress) == XorMappedAddress(path.client)


def test_binding_on_an_endpoint_of_the_site_speaks_rfc5780() -> None:
    site = Site((LISTENER.ip, "198.51.100.2"), (3478, 3479))
    desk = Desk(sites=(site,))
    asked = Message.request(Method.BINDING, ID, ChangeRequest(change_ip=True, change_port=True))
    assert desk.put(asked.encode()) == []
    [sent] = desk.sent
    changed = TransportAddress("198.51.100.2", 3479)
    assert sent.path == Path(UDP.client, changed, Transport.UDP)


def test_binding_elsewhere_than_on_the_site_is_plain() -> None:
    desk = Desk(sites=(Site((LISTENER.ip,), (3478,)),))
    [answer] = desk.put(BINDING.encode(), TCP)
    assert len(answer) == 32
    there = UDP._replace(server=TransportAddress("198.51.100.9", 3478))
    [answer] = desk.put(BINDING.encode(), there)
    assert len(answer) == 32


# --- what is dropped


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (Method.BINDING, MessageClass.INDICATION),
        (Method.BINDING, MessageClass.SUCCESS),
        (Method.ALLOCATE, MessageClass.SUCCESS),
        (Method.ALLOCATE, MessageClass.ERROR),
        (Method.DATA, MessageClass.INDICATION),
        (Method.CONNECTION_ATTEMPT, MessageClass.INDICATION),
    ],
)
def test_responses_and_foreign_indications_are_dropped(method: Method, kind: MessageClass) -> None:
    desk = Desk()
    desk.allocate()
    desk.facts.clear()
    assert desk.put(Message(method, kind, ID, (Data(b"x"), XorPeerAddress(PEER))).encode()) == []
    assert desk.facts == []


@given(st.binary(max_size=60))
def test_garbage_is_dropped(data: bytes) -> None:
    desk = Desk()
    assert desk.put(data) == []
    assert desk.server.deadline() is None


@given(st.integers(0, 200), st.integers(0, 7))
def test_request_with_a_flipped_bit_is_never_granted(place: int, bit: int) -> None:
    desk = Desk()
    request = bytearray(desk.signed(Method.ALLOCATE, OVER_UDP))
    request[place % len(request)] ^= 1 << bit
    desk.put(bytes(request))
    assert desk.open == set()


def test_client_at_port_zero_is_not_answered() -> None:
    path = UDP._replace(client=UDP.client._replace(port=0))
    desk = Desk()
    assert desk.put(Message.request(Method.ALLOCATE, ID).encode(), path) == []
    assert desk.put(BINDING.encode(), path) == []


# --- unknown attributes


def test_unknown_required_attribute_is_420_and_named() -> None:
    answer = Desk().ask(Method.ALLOCATE, OVER_UDP, Unrecognised(0x7F01, b"x"))
    assert code(answer) == 420
    assert answer.find(UnknownAttributes) == UnknownAttributes((0x7F01,))


def test_attribute_of_ice_is_420_too() -> None:
    answer = Desk().ask(Method.ALLOCATE, OVER_UDP, Priority(1))
    assert answer.find(UnknownAttributes) == UnknownAttributes((0x0024,))


def test_unknown_optional_attribute_is_ignored() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, Unrecognised(0xFF01, b"x"))) is None


def test_fingerprint_is_answered_by_one() -> None:
    desk = Desk()
    [plain] = desk.put(Message.request(Method.ALLOCATE, ID).encode(fingerprint=True))
    assert Message.decode(plain).has_fingerprint
    [bare] = desk.put(Message.request(Method.ALLOCATE, ID).encode())
    assert not Message.decode(bare).has_fingerprint


# --- quotas


def test_user_quota_is_486_and_returns_with_the_allocation() -> None:
    desk = Desk(limits=Limits(allocations_per_user=1))
    desk.allocate()
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) == 486
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, path=TCP, user="bob", password="hush")
    assert code(answer) is None
    desk.refresh(0)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) is None


def test_total_quota_is_508() -> None:
    desk = Desk(limits=Limits(allocations=1))
    desk.allocate()
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER, user="bob", password="hush")
    assert code(answer) == 508


def test_quota_returns_when_a_stream_closes() -> None:
    desk = Desk(limits=Limits(allocations_per_user=1))
    desk.allocate(path=TCP)
    desk.server.path_closed(TCP, now=desk.now)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) is None


def test_quota_returns_when_no_port_is_free() -> None:
    desk = Desk(limits=Limits(allocations_per_user=1))
    desk.refuse = set(SETTINGS.families)
    desk.ask(Method.ALLOCATE, OVER_UDP)
    desk.refuse = set()
    desk.allocate()


def test_reserved_port_counts_as_an_allocation() -> None:
    desk = Desk(limits=Limits(allocations_per_user=2))
    desk.allocate(EvenPort(True))
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) == 486
    desk.wait(30)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) is None


def test_port_that_the_quota_does_not_let_reserve_is_486() -> None:
    desk = Desk(limits=Limits(allocations_per_user=1))
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(True))) == 486
    assert desk.open == set()
    desk.allocate(EvenPort(False))


def test_quota_of_a_reservation_returns_when_no_port_is_free() -> None:
    desk = Desk(limits=Limits(allocations_per_user=2))
    desk.refuse = set(SETTINGS.families)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(True))) == 508
    desk.refuse = set()
    desk.allocate(EvenPort(True))


# --- draining, other settings, the end


def test_draining_sends_new_clients_elsewhere_and_keeps_the_others() -> None:
    desk = Desk()
    desk.allocate()
    other = TransportAddress("198.51.100.7", 3478)
    desk.server.drain([other], now=desk.now)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)
    assert code(answer) == 300
    assert answer.find(AlternateServer) == AlternateServer(other)
    assert code(desk.refresh(600)) is None


@pytest.mark.parametrize("others", [[], [TransportAddress("2620::7", 3478)]])
def test_draining_without_a_place_for_the_client_is_508(others: list[TransportAddress]) -> None:
    desk = Desk()
    desk.server.drain(others, now=desk.now)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) == 508


def test_client_at_an_anycast_address_is_sent_to_the_servers_own() -> None:
    own = TransportAddress("198.51.100.9", LISTENER.port)
    desk = Desk(anycast={LISTENER.ip: own.ip})
    answer = desk.ask(Method.ALLOCATE, OVER_UDP)
    assert code(answer) == 300
    assert answer.find(AlternateServer) == AlternateServer(own)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=UDP._replace(server=own))) is None


def reload(desk: Desk, credentials: Credentials) -> None:
    """Go on with other users."""
    desk.server.reconfigure(replace(desk.settings, credentials=credentials), now=desk.now)
    desk.nonces.clear()


def test_user_who_is_gone_keeps_what_was_granted_and_prolongs_nothing() -> None:
    desk = Desk()
    bind = ChannelNumber(0x4000), XorPeerAddress(PEER)
    desk.allocate()
    desk.ask(Method.CHANNEL_BIND, *bind)
    reload(desk, Credentials({"bob": "hush"}))
    assert code(desk.refresh(600)) == 401
    assert code(desk.ask(Method.CHANNEL_BIND, *bind)) == 401
    assert code(desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER))) == 401
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) == 401
    desk.wait(299.9)
    assert desk.pop(PermissionLapsed) == []
    desk.wait(0.1)
    assert [lapsed.peer_ip for lapsed in desk.pop(PermissionLapsed)] == [PEER.ip]
    desk.wait(299.9)
    assert desk.open
    desk.wait(0.1)
    assert desk.open == set()


def test_user_who_is_gone_cannot_move_by_a_ticket() -> None:
    desk = Desk(mobility=True)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, MobilityTicket(b""))
    ticket = answer.find(MobilityTicket)
    assert ticket is not None
    reload(desk, Credentials({"bob": "hush"}))
    assert code(desk.refresh(600, ticket, path=OTHER)) == 401


def test_user_who_is_gone_and_comes_back_goes_on() -> None:
    desk = Desk()
    desk.allocate()
    reload(desk, Credentials({"bob": "hush"}))
    reload(desk, Credentials({"alice": "secret"}))
    assert code(desk.refresh(600)) is None


def test_new_password_is_taken_on_an_old_allocation_and_the_old_one_no_more() -> None:
    desk = Desk()
    desk.allocate()
    reload(desk, Credentials({"alice": "fresh"}))
    assert code(desk.refresh(600, password="fresh")) is None
    assert code(desk.refresh(600, password="secret")) == 401


def test_call_goes_on_beside_a_second_secret_and_is_prolonged_no_more_without_the_first() -> None:
    desk = Desk(credentials=Credentials({}, ("old",)))
    name = rest_username("carol", expires=int(EPOCH) + 1060)
    who = {"user": name, "password": rest_password("old", name)}
    desk.allocate(**who)
    desk.wait(120)
    reload(desk, Credentials({}, ("old", "new")))
    assert code(desk.refresh(600, **who)) is None
    reload(desk, Credentials({}, ("new",)))
    assert code(desk.refresh(600, **who)) == 401


def test_user_of_the_settings_who_is_gone_is_looked_up_elsewhere() -> None:
    desk = Desk(credentials=Credentials({"alice": "secret"}, elsewhere=True))
    desk.allocate()
    reload(desk, Credentials({}, elsewhere=True))
    assert desk.put(desk.signed(Method.REFRESH)) == []
    [command] = desk.pop(LookUpUser)
    assert command.username == "alice"


def test_new_policy_ends_what_it_refuses() -> None:
    desk = Desk()
    friend = TransportAddress("1.1.1.1", 1)
    desk.allocate()
    desk.ask(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(PEER))
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(friend))
    policy = PeerPolicy(deny=(ip_network("8.0.0.0/8"),))
    desk.server.reconfigure(replace(desk.settings, policy=policy), now=desk.now)
    desk.settle()
    assert [lapsed.peer for lapsed in desk.pop(ChannelLapsed)] == [PEER]
    assert [lapsed.peer_ip for lapsed in desk.pop(PermissionLapsed)] == [PEER.ip]


def test_new_policy_ends_connections_that_it_refuses() -> None:
    desk = Desk()
    desk.allocate(OVER_TCP, path=TCP)
    desk.put(desk.signed(Method.CONNECT, XorPeerAddress(PEER), path=TCP), TCP)
    [command] = desk.pop(ConnectPeer)
    desk.server.peer_connected(command.connection, now=desk.now)
    policy = PeerPolicy(deny=(ip_network("8.0.0.0/8"),))
    desk.server.reconfigure(replace(desk.settings, policy=policy), now=desk.now)
    desk.settle()
    assert desk.pop(ClosePeer) == [ClosePeer(command.connection)]


def test_stop_closes_all_there_is() -> None:
    desk = Desk()
    desk.allocate(EvenPort(True))
    desk.held = []
    desk.put(desk.signed(Method.ALLOCATE, OVER_UDP, path=OTHER), OTHER)
    desk.server.stop(now=desk.now)
    desk.settle()
    assert [closed.reason for closed in desk.pop(AllocationClosed)] == [CloseReason.STOPPED]
    for command in desk.held:
        desk.answer(command)
    desk.settle()
    desk.wait(100)
    assert desk.open == set()
    assert desk.server.deadline() is None


def test_stream_that_closes_without_allocation_is_no_matter() -> None:
    desk = Desk()
    desk.server.path_closed(DATA_TCP, now=desk.now)
    assert desk.server.events() == []


def test_tokens_and_ids_are_unpredictable_and_begin_with_the_worker() -> None:
    desk = Desk(worker=7)
    seen = set()
    for _ in range(200):
        answer = desk.ask(Method.ALLOCATE, OVER_UDP, MobilityTicket(b""))
        ticket = answer.find(MobilityTicket)
        assert ticket is not None
        assert ticket.value[0] == 255 - 7
        seen.add(ticket.value)
        desk.refresh(0)
    assert len(seen) == 200


def test_token_that_is_taken_is_not_made_again() -> None:
    made = iter([b"abc", b"abc", b"xyz", b"abc", b"def"])
    register = Register(SETTINGS, lambda _: next(made), LocalLedger())
    first = register.token(4, ())
    assert register.token(4, {first: None}) == b"\xffxyz"
    assert register.token(4, {int.from_bytes(first, "big"): None}) == b"\xffdef"


def test_open_relay_numbers_are_never_used_twice() -> None:
    desk = Desk()
    for _ in range(10):
        desk.allocate()
        desk.refresh(0)
    tickets = [command.ticket for command in desk.pop(OpenRelay)]
    assert len(set(tickets)) == 10


def test_token_has_no_zero_for_clients_that_keep_it_as_text() -> None:
    assert 0 not in Register(SETTINGS, bytes, LocalLedger()).token(16, ())
