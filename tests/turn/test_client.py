"""The TURN client: an allocation's life, permissions, channels and data."""

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
    ChannelOpened,
    ChannelRefused,
    DataReceived,
    PeerPermitted,
    PeerUnreachable,
    PermissionRefused,
    RefusedFamily,
)
from natkit.wire import (
    AdditionalAddressFamily,
    AddressErrorCode,
    AlternateDomain,
    AlternateServer,
    Attribute,
    ChannelData,
    ChannelNumber,
    Data,
    EvenPort,
    Icmp,
    Lifetime,
    Message,
    MessageClass,
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


# Permissions.


def test_permission_is_asked_for_and_told() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    request = sent(machine)
    assert request.method is Method.CREATE_PERMISSION
    assert request.find(XorPeerAddress) == XorPeerAddress(TransportAddress(PEER.ip, 0))
    assert answer(machine, request.success(), now=1.5) == [PeerPermitted(PEER.ip, 0.5)]


def test_permission_is_prolonged_well_before_300_seconds() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    answer(machine, sent(machine).success(), now=2.0)
    machine.tick(now=240.9)
    assert machine.transmits() == []
    machine.tick(now=241.0)
    assert sent(machine).method is Method.CREATE_PERMISSION


def test_refused_permission_drops_what_waits_for_it() -> None:
    machine = allocated()
    machine.send(PEER, b"held", now=1.0)
    (event,) = answer(machine, sent(machine).error(403, "Private"), now=1.0)
    assert isinstance(event, PermissionRefused)
    assert (event.ip, event.failure.code) == (PEER.ip, 403)
    assert machine.transmits() == []
    assert machine.state is State.ALLOCATED


def test_refused_permission_is_not_asked_for_again_by_every_packet() -> None:
    machine = allocated()
    machine.send(PEER, b"one", now=1.0)
    answer(machine, sent(machine).error(403, "Private"), now=1.0)
    machine.send(PEER, b"two", now=30.9)
    assert machine.transmits() == []
    machine.send(PEER, b"three", now=31.0)
    assert sent(machine).method is Method.CREATE_PERMISSION


def test_refused_permission_can_be_asked_for_again_at_once() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    answer(machine, sent(machine).error(403, "Private"), now=1.0)
    machine.permit(PEER.ip, now=1.0)
    answer(machine, sent(machine).success(), now=1.0)
    machine.send(PEER, b"through", now=1.0)
    assert sent(machine).find(Data) == Data(b"through")


def test_permission_that_cannot_be_prolonged_takes_its_channels_with_it() -> None:
    machine = allocated()
    machine.open_channel(PEER, now=0.0)
    answer(machine, sent(machine).success(), now=0.0)
    machine.tick(now=240.0)
    refused, without = answer(machine, sent(machine).error(403, "No more"), now=240.0)
    assert isinstance(refused, PermissionRefused)
    assert isinstance(without, ChannelRefused)
    machine.send(PEER, b"dropped", now=241.0)
    assert machine.transmits() == []


def test_mismatch_on_a_permission_loses_the_allocation() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    refused, lost = answer(machine, sent(machine).error(437, "Which?"), now=1.0)
    assert isinstance(refused, PermissionRefused)
    assert isinstance(lost, AllocationLost)


# Data.


def test_first_datagram_waits_for_the_permission_then_goes_as_an_indication() -> None:
    machine = allocated()
    machine.send(PEER, b"one", now=1.0)
    machine.send(PEER, b"two", now=1.0)
    answer(machine, sent(machine).success(), now=1.0)
    messages = [Message.decode(transmit.data) for transmit in machine.transmits()]
    assert [message.find(Data) for message in messages] == [Data(b"one"), Data(b"two")]
    assert all(message.method is Method.SEND for message in messages)
    assert all(message.message_class is MessageClass.INDICATION for message in messages)
    assert messages[0].find(XorPeerAddress) == XorPeerAddress(PEER)


def test_at_most_sixteen_datagrams_wait() -> None:
    machine = allocated()
    for number in range(20):
        machine.send(PEER, bytes([number]), now=1.0)
    answer(machine, sent(machine).success(), now=1.0)
    messages = [Message.decode(transmit.data) for transmit in machine.transmits()]
    assert [message.find(Data) for message in messages] == [Data(bytes([n])) for n in range(4, 20)]


def test_datagram_that_cannot_be_is_dropped() -> None:
    machine = allocated()
    machine.send(PEER, bytes(65_464), now=1.0)
    assert machine.transmits() == []


def data_indication(*attributes: Attribute) -> bytes:
    return Message.indication(Method.DATA, bytes(12), *attributes).encode()


def test_data_of_a_permitted_peer_arrives() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    other_port = TransportAddress(PEER.ip, 6001)
    machine.receive(data_indication(XorPeerAddress(other_port), Data(b"hi")), SERVER, now=1.0)
    assert machine.events() == [DataReceived(other_port, b"hi")]


def test_data_of_a_stranger_is_dropped() -> None:
    machine = allocated()
    machine.receive(data_indication(XorPeerAddress(PEER), Data(b"hi")), SERVER, now=1.0)
    assert machine.events() == []


def test_icmp_error_on_the_far_side_is_told() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    machine.receive(data_indication(XorPeerAddress(PEER), Icmp(3, 3)), SERVER, now=1.0)
    assert machine.events() == [PeerUnreachable(PEER, 3, 3)]


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


# Channels.


def test_channel_numbers_begin_at_0x4000() -> None:
    machine = allocated()
    for peer, number in ((PEER, 0x4000), (TransportAddress(PEER.ip, 6001), 0x4001)):
        machine.open_channel(peer, now=1.0)
        request = sent(machine)
        assert request.method is Method.CHANNEL_BIND
        assert request.attributes[:2] == (ChannelNumber(number), XorPeerAddress(peer))
        opened, _ = answer(machine, request.success(), now=1.0)
        assert opened == ChannelOpened(peer, number)


@pytest.mark.parametrize(("reliable", "padding"), [(False, b""), (True, b"\0\0\0")])
def test_data_to_a_channel_is_padded_on_streams_alone(reliable: bool, padding: bytes) -> None:
    machine = allocated(reliable=reliable)
    machine.open_channel(PEER, now=1.0)
    answer(machine, sent(machine).success(), now=1.0)
    machine.send(PEER, b"hello", now=1.0)
    (transmit,) = machine.transmits()
    assert transmit.data == b"\x40\x00\x00\x05hello" + padding


def test_channel_data_arrives_with_its_peer() -> None:
    machine = allocated()
    machine.open_channel(PEER, now=1.0)
    machine.receive(ChannelData(0x4000, b"early").encode(), SERVER, now=1.0)
    machine.receive(ChannelData(0x4001, b"unknown").encode(), SERVER, now=1.0)
    assert machine.events() == [DataReceived(PEER, b"early", 0x4000)]


def test_channel_is_prolonged_before_600_seconds_and_its_permission_before_300() -> None:
    machine = allocated(lifetime=3600)
    machine.open_channel(PEER, now=0.0)
    answer(machine, sent(machine).success(), now=0.0)
    asked = []
    while (due := machine.deadline() or 0.0) <= 1000:
        machine.tick(now=due)
        request = sent(machine)
        asked.append((due, request.method.name))
        answer(machine, request.success(), now=due)
    assert [at for at, name in asked if name == "CHANNEL_BIND"] == [540.0]
    assert [at for at, name in asked if name == "CREATE_PERMISSION"] == [240.0, 480.0, 780.0]


def test_refused_channel_leaves_indications() -> None:
    machine = allocated()
    machine.permit(PEER.ip, now=1.0)
    answer(machine, sent(machine).success(), now=1.0)
    machine.open_channel(PEER, now=1.0)
    (event,) = answer(machine, sent(machine).error(508, "Full"), now=1.0)
    assert isinstance(event, ChannelRefused)
    machine.send(PEER, b"still", now=1.0)
    assert sent(machine).method is Method.SEND


def test_4097th_channel_is_refused_here() -> None:
    machine = allocated()
    for port in range(1, 4098):
        machine.open_channel(TransportAddress(PEER.ip, port), now=1.0)
    (event,) = machine.events()
    assert isinstance(event, ChannelRefused)
    assert event.peer.port == 4097


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
