"""Allocate: RFC 8656 §7.2, item by item."""

from __future__ import annotations

import pytest

from natkit.network import Family
from natkit.turn.events import OpenRelay, RequestRefused
from natkit.turn.forwarding import AllocationClosed, AllocationMade, CloseReason, Relaying
from natkit.turn.wanted import granted_lifetime
from natkit.wire import (
    AddressErrorCode,
    Attribute,
    DontFragment,
    EvenPort,
    Lifetime,
    Message,
    Method,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    TransportAddress,
    UnknownAttributes,
    Unrecognised,
    XorMappedAddress,
    XorRelayedAddress,
)
from natkit.wire.attributes import AdditionalAddressFamily
from tests.turn.desk import OTHER, OVER_TCP, OVER_UDP, RELAY_IP6, TCP, UDP, Desk, code, seconds

IPV4, IPV6, NEITHER = (RequestedAddressFamily(number) for number in (1, 2, 3))
BOTH = AdditionalAddressFamily(2)
TOKEN = ReservationToken(bytes(8))


def test_success_tells_relayed_and_mapped_address_and_lifetime() -> None:
    desk = Desk()
    answer = desk.ask(Method.ALLOCATE, OVER_UDP)
    relayed, mapped = answer.find(XorRelayedAddress), answer.find(XorMappedAddress)
    assert code(answer) is None
    assert relayed is not None
    assert relayed.address in desk.open
    assert mapped is not None
    assert mapped.address == UDP.client
    assert seconds(answer) == 600
    made = AllocationMade(UDP, relayed.address, Relaying.UDP, "alice", 600)
    assert desk.pop(AllocationMade) == [made]


def test_success_is_signed() -> None:
    desk = Desk()
    assert desk.ask(Method.ALLOCATE, OVER_UDP).integrity is not None


def test_error_after_authentication_is_signed() -> None:
    assert Desk().ask(Method.ALLOCATE).integrity is not None


@pytest.mark.parametrize("name", ["", "natkit"])
def test_software_is_told_where_it_is_set(name: str) -> None:
    answer = Desk(software=name).ask(Method.ALLOCATE, OVER_UDP)
    assert answer.find(Software) == (Software(name) if name else None)


def test_without_requested_transport_is_400() -> None:
    assert code(Desk().ask(Method.ALLOCATE)) == 400


@pytest.mark.parametrize("protocol", [0, 1, 132, 255])
def test_unsupported_transport_is_442(protocol: int) -> None:
    assert code(Desk().ask(Method.ALLOCATE, RequestedTransport(protocol))) == 442


def test_tcp_relaying_over_udp_is_400() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_TCP)) == 400


def test_tcp_relaying_that_is_switched_off_is_442() -> None:
    assert code(Desk(tcp=False).ask(Method.ALLOCATE, OVER_TCP, path=TCP)) == 442


@pytest.mark.parametrize("extra", [EvenPort(False), TOKEN, DontFragment()])
def test_what_means_nothing_to_a_tcp_allocation_is_400(extra: Attribute) -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_TCP, extra, path=TCP)) == 400


def test_tcp_allocation_opens_a_tcp_relay() -> None:
    desk = Desk()
    desk.allocate(OVER_TCP, path=TCP)
    assert [event.relaying for event in desk.pop(OpenRelay)] == [Relaying.TCP]


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        *[(None, 600), (0, 600), (1, 600), (599, 600), (600, 600), (601, 601)],
        *[(3599, 3599), (3600, 3600), (3601, 3600), (2**32 - 1, 3600)],
    ],
)
def test_lifetime_is_clamped(requested: int | None, granted: int) -> None:
    assert granted_lifetime(requested, 3600) == granted
    wanted = () if requested is None else (Lifetime(requested),)
    assert seconds(Desk().ask(Method.ALLOCATE, OVER_UDP, *wanted)) == granted


def test_allocation_lives_until_just_before_its_end() -> None:
    desk = Desk()
    desk.allocate()
    desk.wait(599.9)
    assert code(desk.refresh(600)) is None


def test_allocation_is_gone_at_its_end() -> None:
    desk = Desk()
    relayed = desk.allocate()
    desk.wait(600.0)
    closed = AllocationClosed(UDP, relayed, "alice", CloseReason.EXPIRED)
    assert desk.pop(AllocationClosed) == [closed]
    assert not desk.open
    assert code(desk.refresh(600)) == 437


def test_expired_allocation_is_gone_although_nobody_ticked() -> None:
    desk = Desk()
    desk.allocate()
    desk.now += 600.0
    assert code(desk.refresh(600)) == 437


def test_second_allocate_on_a_5_tuple_is_437() -> None:
    desk = Desk()
    desk.allocate()
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) == 437
    assert len(desk.open) == 1


def test_another_client_gets_another_relayed_address() -> None:
    desk = Desk()
    assert desk.allocate() != desk.allocate(path=OTHER)


def test_5_tuple_with_another_transport_is_another_client() -> None:
    desk = Desk()
    tcp = UDP._replace(transport=TCP.transport)
    assert desk.allocate() != desk.allocate(path=tcp)


def test_address_used_again_after_expiry_gets_fresh_state() -> None:
    desk = Desk()
    first = desk.allocate()
    desk.wait(600.0)
    assert desk.allocate() != first
    assert len(desk.open) == 1


# --- what stands in the way


def test_no_free_port_is_508_and_says_why() -> None:
    desk = Desk()
    desk.refuse = {Family.IPV4}
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) == 508
    [refused] = [event for event in desk.pop(RequestRefused) if event.code == 508]
    assert refused.why == "no relayed address: no port is free"
    assert refused.user == "alice"


def test_dont_fragment_that_cannot_be_done_is_420() -> None:
    answer = Desk(dont_fragment=False).ask(Method.ALLOCATE, OVER_UDP, DontFragment())
    assert code(answer) == 420
    assert answer.find(UnknownAttributes) == UnknownAttributes((0x001A,))


def test_dont_fragment_that_can_be_done_is_granted() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, DontFragment())) is None


# --- EVEN-PORT and RESERVATION-TOKEN


@pytest.mark.parametrize("extra", [EvenPort(False), EvenPort(True), IPV4, IPV6, BOTH])
def test_reservation_token_excludes_even_port_and_families(extra: Attribute) -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, TOKEN, extra)) == 400


def test_bogus_reservation_token_is_508() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, TOKEN)) == 508


def test_even_port_without_reservation_gives_no_token_and_holds_one_port() -> None:
    desk = Desk()
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(False))
    relayed = answer.find(XorRelayedAddress)
    assert relayed is not None
    assert relayed.address.port % 2 == 0
    assert answer.find(ReservationToken) is None
    assert desk.open == {relayed.address}


@pytest.mark.parametrize(
    ("asked", "even", "reserve"),
    [((), False, False), ((EvenPort(False),), True, False), ((EvenPort(True),), True, True)],
)
def test_driver_is_told_which_port_is_wanted(
    asked: tuple[Attribute, ...], even: bool, reserve: bool
) -> None:
    desk = Desk()
    desk.allocate(*asked)
    [command] = desk.pop(OpenRelay)
    assert (command.even, command.reserve) == (even, reserve)


def reserve(desk: Desk) -> tuple[TransportAddress, ReservationToken]:
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(True))
    relayed, token = answer.find(XorRelayedAddress), answer.find(ReservationToken)
    assert relayed is not None
    assert token is not None
    return relayed.address, token


def test_reservation_token_gives_the_port_above() -> None:
    desk = Desk()
    relayed, token = reserve(desk)
    assert desk.allocate(token, path=OTHER) == relayed._replace(port=relayed.port + 1)


def test_reservation_token_is_good_until_just_before_30_s() -> None:
    desk = Desk()
    _, token = reserve(desk)
    desk.wait(29.9)
    desk.allocate(token, path=OTHER)


def test_reservation_token_ends_at_30_s_and_returns_its_port() -> None:
    desk = Desk()
    relayed, token = reserve(desk)
    desk.wait(30.0)
    assert desk.open == {relayed}
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, token, path=OTHER)) == 508


def test_port_that_was_taken_up_outlives_its_reservation() -> None:
    desk = Desk()
    _, token = reserve(desk)
    relayed = desk.allocate(token, path=OTHER)
    desk.wait(30)
    assert relayed in desk.open


def test_reservation_token_is_good_once() -> None:
    desk = Desk()
    _, token = reserve(desk)
    desk.allocate(token, path=OTHER)
    desk.refresh(0, path=OTHER)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, token, path=OTHER)) == 508


def test_reservation_token_is_its_owners_alone() -> None:
    desk = Desk()
    _, token = reserve(desk)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, token, path=OTHER, user="bob", password="hush")
    assert code(answer) == 508


def test_even_ports_do_not_leak() -> None:
    desk = Desk()
    for _ in range(100):
        desk.allocate(EvenPort(False))
        desk.refresh(0)
    assert not desk.open


# --- address families


def test_family_defaults_to_ipv4() -> None:
    desk = Desk(families=(Family.IPV6, Family.IPV4))
    assert not desk.allocate().is_ipv6


def test_ipv6_is_given_where_asked_for() -> None:
    assert Desk().allocate(IPV6).ip == RELAY_IP6


@pytest.mark.parametrize("family", [NEITHER, RequestedAddressFamily(0)])
def test_family_that_there_is_not_is_440(family: Attribute) -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, family)) == 440


def test_family_that_is_not_offered_is_440() -> None:
    desk = Desk(families=(Family.IPV4,))
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, IPV6)) == 440


def test_no_family_asked_for_and_no_ipv4_is_440() -> None:
    assert code(Desk(families=(Family.IPV6,)).ask(Method.ALLOCATE, OVER_UDP)) == 440


def families_of(answer: Message) -> list[bool]:
    return [found.address.is_ipv6 for found in answer.find_all(XorRelayedAddress)]


def test_additional_family_gives_both() -> None:
    desk = Desk()
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, BOTH)
    assert families_of(answer) == [False, True]
    assert len(desk.pop(AllocationMade)) == 2


def test_additional_family_by_its_draft_number_gives_both() -> None:
    drafted = Unrecognised(0x8032, b"\x02\0\0\0")
    assert families_of(Desk().ask(Method.ALLOCATE, OVER_UDP, drafted)) == [False, True]


@pytest.mark.parametrize("extra", [IPV4, IPV6, EvenPort(True)])
def test_additional_family_excludes_requested_family_and_reservation(extra: Attribute) -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, BOTH, extra)) == 400


def test_additional_family_goes_with_an_even_port() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, BOTH, EvenPort(False))) is None


@pytest.mark.parametrize("number", [0, 1, 3])
def test_additional_family_other_than_ipv6_is_400(number: int) -> None:
    answer = Desk().ask(Method.ALLOCATE, OVER_UDP, AdditionalAddressFamily(number))
    assert code(answer) == 400


def test_additional_family_that_is_not_offered_is_told_and_ipv4_given() -> None:
    answer = Desk(families=(Family.IPV4,)).ask(Method.ALLOCATE, OVER_UDP, BOTH)
    assert families_of(answer) == [False]
    told = answer.find(AddressErrorCode)
    assert told is not None
    assert (told.family, told.code) == (2, 440)


@pytest.mark.parametrize(("missing", "number"), [(Family.IPV4, 1), (Family.IPV6, 2)])
def test_one_of_two_families_without_ports_is_told(missing: Family, number: int) -> None:
    desk = Desk()
    desk.refuse = {missing}
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, BOTH)
    assert families_of(answer) == [missing is Family.IPV4]
    told = answer.find(AddressErrorCode)
    assert told is not None
    assert (told.family, told.code) == (number, 508)


def test_both_families_without_ports_is_508() -> None:
    desk = Desk()
    desk.refuse = {Family.IPV4, Family.IPV6}
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, BOTH)) == 508


# --- while the relay is being opened


def held(desk: Desk, *attributes: Attribute) -> bytes:
    """Send an Allocate whose relay does not open yet."""
    desk.held = []
    request = desk.signed(Method.ALLOCATE, OVER_UDP, *attributes)
    assert desk.put(request) == []
    return request


def test_retransmission_while_the_relay_opens_is_answered_once() -> None:
    desk = Desk()
    request = held(desk)
    assert desk.put(request) == []
    assert desk.held is not None
    [command] = desk.held
    desk.sent.clear()
    desk.answer(command)
    desk.settle()
    assert len(desk.sent) == 1


def test_another_allocate_while_the_relay_opens_is_437() -> None:
    desk = Desk()
    held(desk)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) == 437


@pytest.mark.parametrize("extra", [(), (EvenPort(True),), (BOTH,)])
def test_relay_that_opens_for_a_client_that_is_gone_is_closed(extra: tuple[Attribute, ...]) -> None:
    desk = Desk()
    desk.held = []
    desk.put(desk.signed(Method.ALLOCATE, OVER_UDP, *extra, path=TCP), TCP)
    desk.server.path_closed(TCP, now=desk.now)
    for command in desk.held:
        desk.answer(command)
    desk.settle()
    assert not desk.open
    assert desk.pop(AllocationMade) == []
    desk.held = None
    desk.allocate(path=TCP)
