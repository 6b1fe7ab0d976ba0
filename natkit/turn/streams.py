"""Relaying TCP, server side: Connect, ConnectionBind, ConnectionAttempt (RFC 6062 §5).

A connection with a peer goes: being made | accepted -> waits for ConnectionBind -> joined with a
stream of the client's -> closed. Rule of the file: at each stage but the last it has 30 s.
"""

from __future__ import annotations

from natkit.machine import Instant, Seconds
from natkit.turn.allocation import Allocation
from natkit.turn.answers import (
    ALLOCATION_MISMATCH,
    BAD_REQUEST,
    CONNECTION_EXISTS,
    CONNECTION_FAILED,
    INSUFFICIENT_CAPACITY,
    PEER_FAMILY_MISMATCH,
    Asked,
    Refused,
)
from natkit.turn.entries import PeerConnection
from natkit.turn.events import BindConnection, ConnectPeer
from natkit.turn.forwarding import Relaying
from natkit.turn.peers import refuse_forbidden
from natkit.turn.refresh import own_allocation, refuse_others
from natkit.turn.register import Register
from natkit.wire import ConnectionId, Message, Method, TransportAddress, XorPeerAddress

PATIENCE: Seconds = 30
"""For a peer to take a connection, and for the client to bind one (RFC 6062 §5.2, §5.4: at least
30 s). More would let a client hold more sockets open."""

_ID_SIZE = 4  # RFC 6062 §6.2.1


def connect(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 6062 §5.2."""
    # "...a TCP connection for which no allocation exists" is a 437, as is one that relays UDP.
    allocation = own_allocation(register, asked, now=now)
    if allocation.relaying is not Relaying.TCP:
        raise Refused(ALLOCATION_MISMATCH, "Connect on an allocation that relays UDP")
    found = asked.message.find(XorPeerAddress)
    if found is None:
        raise Refused(BAD_REQUEST, "XOR-PEER-ADDRESS is missing")
    peer = found.address
    relayed = allocation.relay_to(peer.ip)
    if relayed is None:
        raise Refused(PEER_FAMILY_MISMATCH, f"no relayed address of {peer.ip}'s family")
    # "...currently processing a Connect with the same XOR-PEER-ADDRESS", or a connection is there.
    if any(register.connections[number].peer == peer for number in allocation.connections):
        raise Refused(CONNECTION_EXISTS, f"there is a connection with {peer} already")
    refuse_forbidden(register, peer)
    if _is_full(register, allocation):
        raise Refused(INSUFFICIENT_CAPACITY, "the allocation has all the connections it may have")
    connection = PeerConnection(_new_id(register), allocation, peer, asked)
    register.enter_connection(connection, now + PATIENCE)
    register.log.append(ConnectPeer(connection.number, relayed, peer))


def peer_connected(register: Register, number: int, *, now: Instant) -> None:
    """Tell the client by what to bind the connection that it asked for."""
    connection = register.connections[number]
    asked, connection.asked = connection.asked, None
    register.agenda.set(connection, now + PATIENCE)
    if asked is not None:
        answer = asked.success([ConnectionId(number), *register.signature()])
        register.send(connection.allocation.path, answer)


def give_up(register: Register, connection: PeerConnection, why: str) -> None:
    """Forget a connection that has come to nothing; a Connect that waits for it is refused."""
    if connection.asked is not None:
        why = f"{connection.peer}: {why}"
        register.refuse(connection.asked, Refused(CONNECTION_FAILED, why))
    register.forget_connection(connection)


def peer_accepted(
    register: Register, relayed: TransportAddress, peer: TransportAddress, *, now: Instant
) -> int | None:
    """Tell the client of a peer that connected, where permission and policy let it in (§5.3)."""
    allocation = register.by_relayed.get(relayed)
    if allocation is None or not allocation.admits(peer.ip, now=now):
        return None
    if register.settings.policy.refuses(peer) is not None or _is_full(register, allocation):
        return None
    connection = PeerConnection(_new_id(register), allocation, peer)
    register.enter_connection(connection, now + PATIENCE)
    attempt = Message.indication(
        Method.CONNECTION_ATTEMPT,
        register.transaction_id(),
        ConnectionId(connection.number),
        XorPeerAddress(peer),
    )
    register.send(allocation.path, attempt.encode())
    return connection.number


def connection_bind(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 6062 §5.4."""
    if not asked.path.transport.is_stream:
        raise Refused(BAD_REQUEST, "ConnectionBind over datagrams")
    if register.at(asked.path, now=now) is not None or asked.path in register.pending:
        raise Refused(BAD_REQUEST, "ConnectionBind on the connection that has the allocation")
    if asked.path in register.joined:
        raise Refused(BAD_REQUEST, "ConnectionBind on a connection that is joined already")
    found = asked.message.find(ConnectionId)
    connection = None if found is None else register.connections.get(found.value)
    if connection is None or connection.asked is not None or connection.bound_to is not None:
        raise Refused(BAD_REQUEST, "CONNECTION-ID names no connection that waits to be bound")
    refuse_others(connection.allocation, asked)
    register.join(connection, asked.path)
    register.send(asked.path, asked.success([ConnectionId(connection.number)]))
    register.log.append(BindConnection(asked.path, connection.number))


def _new_id(register: Register) -> int:
    return int.from_bytes(register.token(_ID_SIZE, register.connections), "big")


def _is_full(register: Register, allocation: Allocation) -> bool:
    return len(allocation.connections) >= register.settings.limits.connections
