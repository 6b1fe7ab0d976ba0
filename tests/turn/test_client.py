"""The TURN client: an allocation's life, over datagrams and over a stream."""

from __future__ import annotations

import pytest

from natkit.network import Family, IcmpError
from natkit.turn.client import State
from natkit.turn.client_allocation import Wish
from natkit.turn.client_events import (
    Allocated,
    AllocationDeleted,
    AllocationFailed,
    AllocationLost,
    AllocationRefreshed,
    Cause,
    DataReceived,
    RefusedFamily,
)
from natkit.wire import (
    AdditionalAddressFamily,
    AddressErrorCode,
    AlternateDomain,
    AlternateServer,
    Attribute,
    ChannelData,
    Data,
    EvenPort,
    Lifetime,
    Method,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    TransportAddress,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turn.scripted import (
    MAPPED,
    PEER,
    RELAYED,
    SERVER,
    allocated,
    answer,
    challenge,
    client,
    data_indication,
    granted,
    sent,
)

RELAYED6 = TransportAddress("2001:db8::1", 50000)


# Allocate.


def test_first_request_is_unsigned_and_asks_for_udp() -> None:
    machine = client()
    machine.allocate(now=0.0)
    request = sent(machine)
    assert request.attributes == (RequestedTransport(17),)
    assert request.integrity is None
    assert machine.state is State.ALLOCATING


def test_allocation_tells_what_was_granted() -> None:
    machine = client()
    machine.allocate(now=0.0)
    (event,) = answer(machine, granted(challenge(machine)), now=0.25)
    assert event == Allocated((RELAYED,), MAPPED, 600.0, 0.25, software="scripted")


def test_client_allocates_once() -> None:
    machine = allocated()
    with pytest.raises(ValueError, match="allocates once"):
        machine.allocate(now=1.0)


@pytest.mark.parametrize(
    ("wish", "attribute"),
    [
        (Wish(lifetime=1200), Lifetime(1200)),
        (Wish((Family.IPV6,)), RequestedAddressFamily(2)),
        (Wish((Family.IPV4, Family.IPV6)), AdditionalAddressFamily(2)),
        (Wish(even=True), EvenPort(reserve=False)),
        (Wish(even=True, reserve=True), EvenPort(reserve=True)),
        (Wish(token=b"12345678"), ReservationToken(b"12345678")),
    ],
    ids=str,
)
def test_wish_is_in_the_request(wish: Wish, attribute: Attribute) -> None:
    machine = client()
    machine.allocate(wish, now=0.0)
    assert sent(machine).attributes == (RequestedTransport(17), attribute)


def test_reserved_port_is_told_by_its_token() -> None:
    machine = client()
    machine.allocate(Wish(even=True, reserve=True), now=0.0)
    request = challenge(machine)
    response = request.success(*granted(request).attributes, ReservationToken(b"87654321"))
    (event,) = answer(machine, response)
    assert isinstance(event, Allocated)
    assert event.token == b"87654321"


def test_two_families_give_two_addresses() -> None:
    machine = client()
    machine.allocate(Wish((Family.IPV4, Family.IPV6)), now=0.0)
    request = challenge(machine)
    response = request.success(XorRelayedAddress(RELAYED6), *granted(request).attributes)
    (event,) = answer(machine, response)
    assert isinstance(event, Allocated)
    assert event.relayed == (RELAYED6, RELAYED)


def test_family_that_could_not_be_given_is_told_with_its_reason() -> None:
    machine = client()
    machine.allocate(Wish((Family.IPV4, Family.IPV6)), now=0.0)
    request = challenge(machine)
    refusal = AddressErrorCode(2, 508, "No IPv6 port")
    (event,) = answer(machine, request.success(*granted(request).attributes, refusal))
    assert isinstance(event, Allocated)
    assert event.refused == (RefusedFamily(Family.IPV6, 508, "No IPv6 port"),)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ((XorMappedAddress(MAPPED),), "it holds no relayed address"),
        ((XorRelayedAddress(RELAYED),), "it does not say how the server sees us"),
        (
            (XorRelayedAddress(RELAYED6), XorMappedAddress(MAPPED)),
            "[2001:db8::1]:50000 is of a family that was not asked for",
        ),
    ],
)
def test_useless_allocation_fails_and_is_given_back(
    attributes: tuple[Attribute, ...], reason: str
) -> None:
    machine = client()
    machine.allocate(now=0.0)
    (event,) = answer(machine, challenge(machine).success(*attributes))
    assert isinstance(event, AllocationFailed)
    assert (event.failure.cause, event.failure.reason) == (Cause.UNUSABLE, reason)
    assert sent(machine).find(Lifetime) == Lifetime(0)


def test_refusal_bears_the_servers_code_and_words() -> None:
    machine = client()
    machine.allocate(now=0.0)
    (event,) = answer(machine, challenge(machine).error(486, "Quota"))
    assert isinstance(event, AllocationFailed)
    assert str(event.failure) == "the server refused with 486: Quota"
    assert machine.state is State.ENDED


def test_alternate_server_is_named_with_its_domain() -> None:
    machine = client()
    machine.allocate(now=0.0)
    elsewhere = TransportAddress("192.0.2.9", 3478)
    extras = (AlternateServer(elsewhere), AlternateDomain("two.example.org"))
    (event,) = answer(machine, sent(machine).error(300, "There", *extras), key=None)
    assert isinstance(event, AllocationFailed)
    failure = event.failure
    assert (failure.code, failure.alternate, failure.domain) == (
        300,
        elsewhere,
        "two.example.org",
    )


def test_silence_is_given_up_after_39_5_seconds_and_seven_sends() -> None:
    machine = client()
    machine.allocate(now=0.0)
    while machine.deadline() is not None:
        machine.tick(now=machine.deadline() or 0.0)
    (event,) = machine.events()
    assert isinstance(event, AllocationFailed)
    assert (event.failure.cause, event.failure.sent) == (Cause.SILENT, 7)
    assert len(machine.transmits()) == 7


def test_patience_ends_the_wait_earlier() -> None:
    machine = client()
    machine.allocate(patience=2.0, now=0.0)
    machine.tick(now=1.9)
    assert machine.events() == []
    machine.tick(now=2.0)
    assert machine.state is State.ENDED


def test_port_unreachable_ends_the_wait() -> None:
    machine = client()
    machine.allocate(now=0.0)
    machine.error_received(IcmpError(3, 1, SERVER, None), now=0.1)  # host unreachable is soft
    assert machine.events() == []
    machine.error_received(IcmpError(3, 3, SERVER, None), now=0.1)
    (event,) = machine.events()
    assert isinstance(event, AllocationFailed)
    assert event.failure.cause is Cause.UNREACHABLE


def test_datagram_from_elsewhere_is_ignored() -> None:
    machine = client()
    machine.allocate(now=0.0)
    machine.receive(granted(sent(machine)).encode(), PEER, now=0.0)
    assert machine.events() == []


# Refresh and delete.


@pytest.mark.parametrize(("lifetime", "due"), [(600, 540.0), (3600, 3540.0), (60, 30.0)])
def test_allocation_is_refreshed_before_it_expires(lifetime: int, due: float) -> None:
    machine = allocated(lifetime=lifetime)
    assert machine.deadline() == due
    machine.tick(now=due - 0.1)
    assert machine.transmits() == []
    machine.tick(now=due)
    assert sent(machine).method is Method.REFRESH


def test_refresh_asks_for_the_lifetime_that_was_wished_for() -> None:
    machine = client()
    machine.allocate(Wish(lifetime=1200), now=0.0)
    answer(machine, granted(challenge(machine), 1200))
    machine.tick(now=1140.0)
    assert sent(machine).find(Lifetime) == Lifetime(1200)


def test_late_refresh_does_not_drift() -> None:
    machine = allocated()
    machine.tick(now=541.0)
    (event,) = answer(machine, sent(machine).success(Lifetime(600)), now=542.0)
    assert event == AllocationRefreshed(1141.0)
    assert machine.deadline() == 1081.0


def test_refused_refresh_loses_the_allocation() -> None:
    machine = allocated()
    machine.tick(now=540.0)
    (event,) = answer(machine, sent(machine).error(437, "Which?"), now=540.0)
    assert isinstance(event, AllocationLost)
    machine.send(PEER, b"late", now=541.0)
    assert machine.transmits() == []
    assert machine.deadline() is None


def test_delete_asks_for_no_lifetime() -> None:
    machine = allocated()
    machine.delete(now=1.0)
    request = sent(machine)
    assert (request.method, request.find(Lifetime)) == (Method.REFRESH, Lifetime(0))
    assert answer(machine, request.success(Lifetime(0))) == [AllocationDeleted(confirmed=True)]


def test_unanswered_delete_ends_after_two_seconds() -> None:
    machine = allocated()
    machine.delete(now=1.0)
    while machine.deadline() is not None:
        machine.tick(now=(now := machine.deadline() or 0.0))
    assert now == 3.0
    assert machine.events() == [AllocationDeleted(confirmed=False)]


def test_delete_while_allocating_ends_at_once() -> None:
    machine = client()
    machine.allocate(now=0.0)
    machine.delete(now=0.1)
    assert machine.events() == [AllocationDeleted(confirmed=False)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x40", b"\x40\x00\x00\x09xx", b"\x41\x00\x00\x01x", b"\xff" * 30, bytes(20)],
    ids=repr,
)
def test_garbage_over_udp_is_ignored(data: bytes) -> None:
    machine = allocated()
    machine.receive(data, SERVER, now=1.0)
    assert machine.events() == []
    assert machine.state is State.ALLOCATED


# Streams.


def test_stream_is_cut_into_its_frames_wherever_it_is_split() -> None:
    machine = allocated(reliable=True)
    machine.open_channel(PEER, now=1.0)
    stream = b"".join(
        (
            ChannelData(0x4000, b"abc").encode(padded=True),
            data_indication(XorPeerAddress(PEER), Data(b"def")),
            sent(machine).success().encode(key=None),
        )
    )
    machine.permit(PEER.ip, now=1.0)
    for at in range(len(stream) - 20):
        machine.receive(stream[at : at + 1], SERVER, now=1.0)
    assert machine.events() == [
        DataReceived(PEER, b"abc", 0x4000),
        DataReceived(PEER, b"def"),
    ]


def test_request_on_a_stream_is_sent_once() -> None:
    machine = client(reliable=True)
    machine.allocate(now=0.0)
    machine.transmits()
    assert machine.deadline() == 39.5
    machine.tick(now=39.5)
    assert machine.transmits() == []
    assert machine.state is State.ENDED


def test_stream_that_makes_no_sense_loses_the_allocation() -> None:
    machine = allocated(reliable=True)
    machine.receive(b"\xff\xfe not TURN", SERVER, now=1.0)
    (event,) = machine.events()
    assert isinstance(event, AllocationLost)
    assert "begins neither STUN nor ChannelData" in event.failure.reason


def test_closed_stream_loses_the_allocation() -> None:
    machine = allocated(reliable=True)
    machine.disconnected("gone")
    (event,) = machine.events()
    assert isinstance(event, AllocationLost)
    assert event.failure.cause is Cause.DISCONNECTED
