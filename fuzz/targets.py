"""One target a decoder: what to feed it, and the only exception that may come out.

To add one: write a function that decodes bytes and uses what comes out, and append a Target to
`TARGETS` with some valid inputs as samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from natkit.errors import MalformedMessage
from natkit.ice.agent import IceAgent
from natkit.ice.candidate import Candidate, Local, Origin
from natkit.ice.credentials import Credentials as IceCredentials
from natkit.ice.messages import check
from natkit.ice.role import Role
from natkit.portmap import natpmp, pcp, ssdp
from natkit.rendezvous.description import Description
from natkit.rendezvous.http import HttpReader, answer, request
from natkit.rendezvous.ping import HEAD_START, Pinger
from natkit.turn.credentials import Credentials
from natkit.turn.forwarding import Path, Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import (
    REGISTRY,
    Attribute,
    ChangeRequest,
    ChannelData,
    ChannelNumber,
    Data,
    ErrorCode,
    FrameReader,
    IceControlling,
    Icmp,
    Integrity,
    Lifetime,
    Message,
    Method,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Priority,
    Realm,
    RequestedTransport,
    ResponsePort,
    Software,
    TransportAddress,
    UnknownAttributes,
    UseCandidate,
    Username,
    XorMappedAddress,
    XorPeerAddress,
    features_of,
)

_ID = bytes(range(12))
_KEY = b"key"
_IPV4 = TransportAddress("192.0.2.1", 3478)
_IPV6 = TransportAddress("2001:db8::1", 3478)


@dataclass(frozen=True)
class Target:
    """A decoder under fire.

    Attributes:
        name:    what a report calls it.
        run:     decodes the bytes and uses the result.
        samples: valid inputs, to mutate.
        allowed: the only exceptions that may escape.
    """

    name: str
    run: Callable[[bytes], object]
    samples: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = (MalformedMessage,)


def _stun_samples() -> tuple[bytes, ...]:
    check = Message.request(
        Method.BINDING, _ID, Username("a:b"), Priority(1), IceControlling(2), UseCandidate()
    )
    allocate = Message.request(
        Method.ALLOCATE,
        _ID,
        RequestedTransport(17),
        Nonce("obMatJos2AAAD0"),
        Realm("example.org"),
        PasswordAlgorithms((PasswordAlgorithm(2), PasswordAlgorithm(1))),
    )
    answers = (
        check.success(XorMappedAddress(_IPV4), Software("fuzz")),
        check.success(XorMappedAddress(_IPV6)),
        check.error(420, "Unknown Attribute", UnknownAttributes((0x7FFF,))),
    )
    relayed = Message.indication(Method.DATA, _ID, XorPeerAddress(_IPV4), Data(b"payload"))
    return (
        check.encode(key=_KEY, fingerprint=True),
        check.encode(key=_KEY),
        check.encode(),
        allocate.encode(key=_KEY, integrity=Integrity.BOTH),
        allocate.encode(key=_KEY, integrity=Integrity.SHA256, fingerprint=True),
        relayed.encode(),
        Message.request(Method.BINDING, _ID, ChangeRequest(True, True), ResponsePort(1)).encode(),
        *(answer.encode() for answer in answers),
    )


def _message(data: bytes) -> None:
    message = Message.decode(data)
    message.verify(_KEY)
    message.find(Username)
    hash((message.attributes, message.unknown_required, message.integrity))
    # What was received can be sent on as it is.
    if Message.decode(message.encode(fingerprint=True)) != message:
        raise AssertionError("a received message reads differently when sent again")


_KINDS = tuple(REGISTRY.values())
_ATTRIBUTES: tuple[Attribute, ...] = (
    ErrorCode(401, "Unauthorized"),
    Icmp(3, 4),
    Lifetime(600),
    ChannelNumber(0x4000),
    PasswordAlgorithm(1, b"abc"),
    Realm("example.org"),
    Data(b"payload"),
)


def _attribute(data: bytes) -> None:
    """The first byte picks the attribute class, the rest is its value."""
    if data:
        hash(_KINDS[data[0] % len(_KINDS)].decode(data[1:]))


def _channel_data(data: bytes) -> None:
    ChannelData.decode(data).encode(padded=True)


def _stream(data: bytes) -> None:
    """Feed a stream in two pieces, cut where its last byte says."""
    reader = FrameReader()
    cut = data[-1] if data else 0
    for piece in (data[:cut], data[cut:]):
        for frame in reader.feed(piece):
            hash(frame)


def _nonce(data: bytes) -> None:
    features_of(data.decode(errors="replace"))


_TURN_SETTINGS = Settings(
    "realm", Credentials({"user": "password"}), bytes(16), PeerPolicy(), workers=2
)
_TURN_PATHS = tuple(Path(_IPV4, _IPV4, transport) for transport in Transport)


def _turn_server(data: bytes) -> None:
    """Hand a stranger's bytes to a TURN server, which must not keep anything of them."""
    server = TurnServer(_TURN_SETTINGS, randomness=bytes, epoch=0)
    for path in _TURN_PATHS:
        server.receive(data, path, now=0)
    if server.deadline() is not None:
        raise AssertionError("a stranger left something behind")


_ICE_OURS, _ICE_PEER = IceCredentials("ours", "p" * 22), IceCredentials("peer", "q" * 22)
_CANDIDATES = (
    b"candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host generation 0 ufrag abcd",
    b"2 1 udp 1694498815 203.0.113.7 46154 typ srflx raddr 10.0.1.2 rport 46154",
    b"3 2 tcp 1518214911 2001:db8::1 9 typ host tcptype active",
    b"4 1 udp 1 5f4c1a0e-0000-4000-8000-000000000000.local 9 typ host",
)


def _candidate(data: bytes) -> None:
    candidate = Candidate.from_sdp(data.decode(errors="replace"))
    if Candidate.from_sdp(candidate.to_sdp()) != candidate:
        raise AssertionError("a candidate reads differently when written again")
    hash((candidate.address, candidate.can_pair_with(candidate)))


def _ice_agent(data: bytes) -> None:
    """Hand bytes to an ICE agent that is checking; samples are signed with its password."""
    agent = IceAgent(controlling=True, randomness=bytes, credentials=_ICE_OURS)
    host = Candidate.from_sdp(_CANDIDATES[0].decode())
    agent.add_local(Local(host, _IPV4, Origin(0.0)), now=0)
    agent.set_remote(_ICE_PEER, now=0)
    agent.start(now=0)
    for now in (1, 2):
        agent.receive(data, _IPV4, at=_IPV4, now=now)
        agent.tick(now=now)
        hash((tuple(agent.transmits()), agent.deadline(), tuple(agent.events())))


def _ice_samples() -> tuple[bytes, ...]:
    role = Role(bytes, controlling=False)
    asked = check(_ID, _ICE_PEER, _ICE_OURS, role, 1, nominates=True)
    answer = Message.request(Method.BINDING, bytes(12)).success(XorMappedAddress(_IPV4))
    return asked, answer.encode(key=_ICE_PEER.key, fingerprint=True)


def _http(data: bytes) -> None:
    """What is read in one piece and in two is the same."""
    whole, reader = HttpReader(1000).feed(data), HttpReader(1000)
    halves = reader.feed(data[: len(data) // 2]) or reader.feed(data[len(data) // 2 :])
    if (whole is None) is not (halves is None):
        raise AssertionError("pieces make another message")


def _description(data: bytes) -> None:
    text = data.decode("latin-1")
    part = Description.from_line(text) if text.startswith("n") else Description.from_json(text)
    if Description.from_line(part.to_line()) != part:
        raise AssertionError("a description reads differently when sent again")


def _pinger(data: bytes) -> None:
    pinger = Pinger(_KEY, b"a", b"b", 1)
    pinger.start(now=0)
    for now in (HEAD_START, 1):
        pinger.receive(data, now=now)
        hash((tuple(pinger.outgoing()), tuple(pinger.events()), pinger.deadline()))


def _ping() -> bytes:
    other = Pinger(_KEY, b"b", b"a", 1)
    other.start(now=0)
    other.tick(now=HEAD_START)
    return other.outgoing()[0]


_PART = Description(1, "abcd", "p" * 24, ("1 1 udp 1 192.0.2.1 9 typ host",), True, 60.0)
_STUN_SAMPLES = _stun_samples()
_CHANNEL_SAMPLES = tuple(
    ChannelData(0x4000 + size, bytes(size)).encode(padded=True) for size in (0, 1, 4, 100)
)
_PCP_ANNOUNCE = bytes((2, 0x80, 0, 0)) + bytes(20)
_MAP_PORT = natpmp.MapPort(pcp.Protocol.UDP, 5000, 5000, 600)
_PCP_MAP = bytes((2, 0x81, 0, 0)) + bytes(20) + bytes(12) + bytes((17, 0, 0, 0)) + bytes(20)
_SSDP_FOUND = (
    f"HTTP/1.1 200 OK\r\nST: {ssdp.GATEWAY}\r\nLOCATION: http://[::1]:80/a\r\n\r\n".encode()
)

TARGETS = (
    Target("STUN message", _message, _STUN_SAMPLES),
    Target(
        "STUN attribute",
        _attribute,
        tuple(bytes([_KINDS.index(type(it))]) + it.encode() for it in _ATTRIBUTES),
    ),
    Target("TURN server", _turn_server, _STUN_SAMPLES, allowed=()),
    Target("ChannelData", _channel_data, _CHANNEL_SAMPLES),
    Target("stream", _stream, (b"".join(_STUN_SAMPLES[:2] + _CHANNEL_SAMPLES), *_STUN_SAMPLES)),
    Target("nonce cookie", _nonce, (b"obMatJos2AAAD0", b"obMatJos2"), allowed=()),
    Target("PCP reply", pcp.decode_reply, (_PCP_ANNOUNCE, _PCP_MAP)),
    Target("NAT-PMP reply", natpmp.decode_reply, (bytes((0, 128)) + bytes(10),)),
    Target("NAT-PMP mapping", _MAP_PORT.answer, (bytes((0, 129)) + bytes(14),)),
    Target("ICE candidate", _candidate, _CANDIDATES),
    Target("ICE agent", _ice_agent, (*_ice_samples(), *_STUN_SAMPLES), allowed=()),
    Target("HTTP", _http, (request("a", "/b", "c", b"body"), answer(200, "text/plain", b"body"))),
    Target("description", _description, (_PART.to_json().encode(), _PART.to_line().encode())),
    Target("ping", _pinger, (_ping(),), allowed=()),
    Target("SSDP reply", ssdp.SearchGateway().answer, (_SSDP_FOUND,)),
)
