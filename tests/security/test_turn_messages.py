"""Attacks by bytes: lengths that lie, unsigned additions, texts that break something."""

from __future__ import annotations

import random
from struct import pack

import pytest

from natkit.wire import (
    ChannelNumber,
    Data,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    TransportAddress,
    Unrecognised,
    Username,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turnkit import UDP, Peer, RawClient, error_of, transaction_id
from tests.turnserver import TurnUnderTest

pytestmark = pytest.mark.slow

CHANNEL = 0x4000


def relengthed(data: bytes) -> bytes:
    """Return the message with its header's length made right."""
    return data[:2] + pack("!H", len(data) - 20) + data[4:]


# -- 10: lengths that lie --------------------------------------------------------------------------


def lies(peer: TransportAddress) -> dict[str, bytes]:
    """Return datagrams that claim to hold more than they do, each meant to make the server leak."""
    send = Message.indication(
        Method.SEND, transaction_id(), XorPeerAddress(peer), Data(b"leak")
    ).encode()
    at = send.index(pack("!HH", 0x0013, 4))
    longer = send[:at] + pack("!HH", 0x0013, 400) + send[at + 4 :]
    return {
        "channel data beyond the datagram": pack("!HH", CHANNEL, 400) + b"leak",
        "STUN length beyond the datagram": send[:2] + pack("!H", 400) + send[4:],
        "DATA beyond the message": longer,
        "DATA beyond the message by one": send[:at] + pack("!HH", 0x0013, 5) + send[at + 4 :],
        "length not a multiple of four": relengthed(send + b"\0\0"),
        "an attribute's head cut off": relengthed(send + b"\x80\x22"),
        "address shorter than its family": relengthed(
            Message.indication(Method.SEND, transaction_id(), Data(b"leak")).encode()
            + pack("!HHBBH", 0x0012, 4, 0, 1, 80)
        ),
    }


def test_a_length_that_lies_relays_nothing(turn: TurnUnderTest, peer: Peer) -> None:
    with RawClient(turn) as client:
        client.allocate()
        client.bind(CHANNEL, peer.address)
        for name, data in lies(peer.address).items():
            client.send(data)
            client.send_on(CHANNEL, name.encode())
            assert peer.receive()[0].decode() == name
        assert client.fence() == []


def test_a_stream_whose_lengths_lie_relays_nothing_but_what_they_cover(
    turn: TurnUnderTest, peer: Peer
) -> None:
    with RawClient(turn, "tcp") as client:
        client.allocate()
        client.bind(CHANNEL, peer.address)
        client.send(lies(peer.address)["DATA beyond the message"])
        peer.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.receive()


def test_noise_gets_no_answer_and_does_no_harm(turn: TurnUnderTest) -> None:
    noise = random.Random(8656)
    with RawClient(turn) as client:
        relayed = client.allocate()
        valid = client.signed(Method.CREATE_PERMISSION, XorPeerAddress(relayed))
        for _ in range(2000):
            flipped = bytearray(valid)
            for _ in range(noise.randint(1, 4)):
                flipped[noise.randrange(len(flipped))] ^= 1 << noise.randrange(8)
            client.send(bytes(flipped[: noise.randint(0, len(flipped))]))
            client.send(noise.randbytes(noise.randint(0, 120)))
        client.fence()
        assert client.code(Method.REFRESH) is None


def test_noise_on_streams_does_no_harm(turn: TurnUnderTest) -> None:
    noise = random.Random(6062)
    for _ in range(50):
        with RawClient(turn, "tcp") as client:
            client.send(bytes([noise.randint(0x80, 0xFF)]) + noise.randbytes(200))
            assert client.is_closed()
    with RawClient(turn, "tcp") as client:
        assert client.bare(Method.BINDING).message_class is MessageClass.SUCCESS


# -- 11: additions that nobody signed --------------------------------------------------------------


def test_a_lifetime_behind_the_integrity_is_not_obeyed(client: RawClient) -> None:
    client.allocate()
    deletion = Message.request(Method.REFRESH, bytes(12), Lifetime(0)).encode()[20:]
    answer = client.exchange(relengthed(client.signed(Method.REFRESH) + deletion))
    assert answer.find(Lifetime) == Lifetime(600)
    assert client.code(Method.REFRESH) is None


def test_a_peer_behind_the_integrity_is_not_permitted(client: RawClient, peer: Peer) -> None:
    """Only the signed peer, 127.0.0.1's neighbour by name, is looked at; it is denied."""
    client.allocate()
    asked = Message.request(
        Method.CREATE_PERMISSION,
        transaction_id(),
        *(Username(client.user), Realm(client.realm), Nonce(client.nonce)),
    )
    peer_bytes = XorPeerAddress(peer.address).packed(asked.transaction_id)
    answer = client.exchange(relengthed(asked.encode(key=client.key) + peer_bytes))
    assert error_of(answer) == 400  # as without any peer
    client.send_to(peer.address, b"not permitted")
    client.permit(peer.address)
    client.send_to(peer.address, b"permitted")
    assert peer.receive()[0] == b"permitted"


def test_a_request_changed_on_its_way_is_401(client: RawClient) -> None:
    asked = bytearray(client.log_in().signed(Method.ALLOCATE, UDP, Lifetime(700)))
    asked[asked.index(pack("!I", 700)) + 2] ^= 1
    assert error_of(client.exchange(bytes(asked))) == 401


# -- 12: what is said twice ------------------------------------------------------------------------


def test_a_second_channel_number_does_not_replace_the_first(client: RawClient, peer: Peer) -> None:
    client.allocate()
    twice = ChannelNumber(CHANNEL), ChannelNumber(CHANNEL + 1), XorPeerAddress(peer.address)
    assert client.code(Method.CHANNEL_BIND, *twice) is None
    client.send_on(CHANNEL + 1, b"second")
    client.send_on(CHANNEL, b"first")
    assert peer.receive()[0] == b"first"


# -- 19, 22: texts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"u" * 514,
        b"u" * 2000,
        b"",
        b"\xff\xfe\xfd",
        b"user\0admin",
        b"%s%s%s%n%n%n",
        b"'; DROP TABLE users; --",
        b"../../etc/passwd",
    ],
    ids=lambda name: repr(name[:12]),
)
def test_no_name_breaks_the_server(client: RawClient, name: bytes) -> None:
    client.challenge()
    raw = Unrecognised(0x0006, name), Realm(client.realm), Nonce(client.nonce)
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP, *raw).encode(key=bytes(16))
    client.send(asked)
    with RawClient(client.server, client.transport) as honest:
        assert honest.allocate()


def test_a_name_cannot_write_lines_into_the_log(client: RawClient) -> None:
    client.challenge()
    forged = "x\r\nready: forged-line\x1b[31m"
    client.log_in((forged, "no"))
    client.send(client.signed(Method.ALLOCATE, UDP))
    client.fence()
    log = client.server.log.read_text(errors="replace")
    assert not any(line.startswith("ready: forged") for line in log.splitlines())
    assert "\x1b[31m" not in log


def test_no_password_is_in_the_log(client: RawClient) -> None:
    client.log_in(("user", "wrong-pass-word")).call(Method.ALLOCATE, UDP)
    log = client.server.log.read_text(errors="replace")
    assert "pass-word" not in log


def test_a_response_cannot_be_made_to_allocate(client: RawClient) -> None:
    client.log_in()
    who = Username(client.user), Realm(client.realm), Nonce(client.nonce)
    fake = Message(Method.ALLOCATE, MessageClass.SUCCESS, transaction_id(), (UDP, *who))
    client.send(fake.encode(key=client.key))
    client.fence()
    assert client.call(Method.ALLOCATE, UDP).find(XorRelayedAddress) is not None
