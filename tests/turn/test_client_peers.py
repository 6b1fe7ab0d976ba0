"""The TURN client and its peers: permissions, data and channels."""

from __future__ import annotations

import pytest

from natkit.turn.client import State
from natkit.turn.client_events import (
    AllocationLost,
    ChannelOpened,
    ChannelRefused,
    DataReceived,
    PeerPermitted,
    PeerUnreachable,
    PermissionRefused,
)
from natkit.wire import (
    ChannelData,
    ChannelNumber,
    Data,
    Icmp,
    Message,
    MessageClass,
    Method,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.scripted import PEER, SERVER, allocated, answer, data_indication, sent

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
