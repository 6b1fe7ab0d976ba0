"""Peers of an allocation, server side: permissions, channels, Send and Data (RFC 8656 §9 to §12).

Rule of the file: no way in or out without a permission, and none gets one that the policy refuses.
"""

from __future__ import annotations

from natkit.machine import Instant
from natkit.network import Family, IcmpError
from natkit.turn.allocation import Allocation, family_of
from natkit.turn.answers import (
    BAD_REQUEST,
    FORBIDDEN,
    INSUFFICIENT_CAPACITY,
    PEER_FAMILY_MISMATCH,
    Asked,
    Refused,
)
from natkit.turn.events import SendToPeer
from natkit.turn.forwarding import Path, Relaying
from natkit.turn.refresh import own_allocation
from natkit.turn.register import Register
from natkit.wire import (
    Attribute,
    ChannelNumber,
    Data,
    DontFragment,
    Icmp,
    Message,
    Method,
    TransportAddress,
    XorPeerAddress,
)
from natkit.wire.channel import CHANNEL_MIN, OLD_CHANNEL_MAX

REPORTED_ICMP = {Family.IPV4: frozenset({3, 11}), Family.IPV6: frozenset({1, 2, 3})}
"""ICMP types that a client is told of: destination unreachable, time exceeded, and for IPv6 packet
too big (RFC 8656 §11.5)."""


def create_permission(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 8656 §10.2."""
    allocation = own_allocation(register, asked, now=now)
    peers = [found.address for found in asked.message.find_all(XorPeerAddress)]
    if not peers:
        raise Refused(BAD_REQUEST, "XOR-PEER-ADDRESS is missing")
    ips = {peer.ip for peer in peers}
    for ip in sorted(ips):
        _refuse_family(allocation, ip)
        # Ports are ignored here (§9), and looked at where something is sent.
        forbidden = register.settings.policy.refuses_ip(ip)
        if forbidden is not None:
            raise Refused(FORBIDDEN, f"peer {forbidden}")
    _refuse_too_many(register, allocation, ips)
    # "...either all of the permissions are installed or none."
    for ip in sorted(ips):
        register.tell(allocation.permit(ip, now=now))
    register.review(allocation)
    register.send(asked.path, asked.success(register.signature()))


def channel_bind(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 8656 §12.2."""
    allocation = own_allocation(register, asked, now=now)
    if allocation.relaying is not Relaying.UDP:
        raise Refused(BAD_REQUEST, "channels are for UDP; this allocation relays TCP")
    channel, found = asked.message.find(ChannelNumber), asked.message.find(XorPeerAddress)
    if channel is None or found is None:
        raise Refused(BAD_REQUEST, "CHANNEL-NUMBER or XOR-PEER-ADDRESS is missing")
    number, peer = channel.number, found.address
    if not CHANNEL_MIN <= number <= OLD_CHANNEL_MAX:
        raise Refused(BAD_REQUEST, f"channel {number:#06x} is not in 0x4000 .. 0x7FFE")
    _refuse_family(allocation, peer.ip)
    conflict = allocation.binding_conflict(number, peer, now=now)
    if conflict is not None:
        raise Refused(BAD_REQUEST, conflict)
    refuse_forbidden(register, peer)
    most = register.settings.limits.channels
    if number not in allocation.channels and len(allocation.channels) >= most:
        raise Refused(INSUFFICIENT_CAPACITY, "the allocation has all the channels it may have")
    _refuse_too_many(register, allocation, {peer.ip})
    register.tell(allocation.bind(number, peer, now=now))
    register.review(allocation)
    register.send(asked.path, asked.success(register.signature()))


def _refuse_family(allocation: Allocation, ip: str) -> None:
    if family_of(ip) not in allocation.relays:
        raise Refused(PEER_FAMILY_MISMATCH, f"no relayed address of {ip}'s family")


def refuse_forbidden(register: Register, peer: TransportAddress) -> None:
    """Raise: Refused: 403, the policy does not let anybody relay to `peer`."""
    forbidden = register.settings.policy.refuses(peer)
    if forbidden is not None:
        raise Refused(FORBIDDEN, f"peer {forbidden}")


def _refuse_too_many(register: Register, allocation: Allocation, ips: set[str]) -> None:
    together = ips | allocation.permissions.keys()
    if len(together) > register.settings.limits.permissions:
        raise Refused(INSUFFICIENT_CAPACITY, "the allocation has all the permissions it may have")


def send_indication(register: Register, message: Message, path: Path, *, now: Instant) -> None:
    """Walk the list of RFC 8656 §11.2; an indication that fails a check is silently dropped."""
    allocation = register.at(path, now=now)
    if allocation is None or allocation.relaying is not Relaying.UDP or message.unknown_required:
        return
    # Of several XOR-PEER-ADDRESS the first counts: what is checked is what is sent to.
    found, data = message.find(XorPeerAddress), message.find(Data)
    dont_fragment = message.find(DontFragment) is not None
    if found is None or data is None:
        return
    if dont_fragment and not register.settings.dont_fragment:
        return
    peer = found.address
    if not path.transport.is_stream and (path.client.is_ipv6 or peer.is_ipv6):
        dont_fragment = False  # "MUST be ignored" (§13.1 to §13.3), beside TCP (§15)
    if not allocation.admits(peer.ip, now=now):
        return
    if register.settings.policy.refuses_port(peer) is not None:
        return
    relayed = allocation.relay_to(peer.ip)
    if relayed is not None:
        register.log.append(SendToPeer(relayed, peer, data.value, dont_fragment))


def from_peer(
    register: Register,
    relayed: TransportAddress,
    data: bytes,
    peer: TransportAddress,
    *,
    now: Instant,
) -> None:
    """Wrap a peer's datagram into a Data indication, where a permission lets it in (§11.3)."""
    allocation = register.by_relayed.get(relayed)
    if allocation is not None and allocation.admits(peer.ip, now=now):
        _indicate(register, allocation, XorPeerAddress(peer), Data(data))


def peer_error(
    register: Register, relayed: TransportAddress, error: IcmpError, *, now: Instant
) -> None:
    """Tell the client of an ICMP error (§11.5), where it says which peer it is about."""
    allocation, peer = register.by_relayed.get(relayed), error.destination
    if allocation is None or peer is None or not allocation.admits(peer.ip, now=now):
        return
    if error.kind in REPORTED_ICMP[family_of(peer.ip)]:
        # "Error Data": the MTU where there is one, else zeros (§18.13).
        data = (error.mtu or 0).to_bytes(4, "big")
        _indicate(register, allocation, XorPeerAddress(peer), Icmp(error.kind, error.code, data))


def _indicate(register: Register, allocation: Allocation, *attributes: Attribute) -> None:
    message = Message.indication(Method.DATA, register.transaction_id(), *attributes)
    register.send(allocation.path, message.encode())
