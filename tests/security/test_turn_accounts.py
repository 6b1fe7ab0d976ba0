"""Attacks on who is who: borrowed nonces, other people's allocations, expired names, quotas."""

from __future__ import annotations

import base64
import collections
import hashlib
import hmac
import itertools
import time
from collections.abc import Iterator

import pytest

from natkit.wire import (
    EvenPort,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    ReservationToken,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turnkit import UDP, Peer, RawClient, error_of
from tests.turnserver import OTHER, SECRET, USER, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow


# -- 13: nonces, ports and transactions ------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_nonce_of_another_address_is_stale(turn: TurnUnderTest, transport: str) -> None:
    with RawClient(turn) as victim, RawClient(turn, transport) as thief:
        victim.challenge()
        thief.challenge()
        thief.nonce = victim.nonce
        answer = thief.log_in().call(Method.ALLOCATE, UDP)
        assert error_of(answer) == 438
        fresh = answer.find(Nonce)
        assert fresh is not None
        assert fresh.text != victim.nonce


def test_a_nonce_that_was_tampered_with_is_stale(client: RawClient) -> None:
    client.log_in()
    client.nonce = client.nonce[:-1] + ("A" if client.nonce[-1] != "A" else "B")
    assert client.code(Method.ALLOCATE, UDP) == 438


def test_nonces_cannot_be_told_from_chance(turn: TurnUnderTest) -> None:
    """What follows the timestamp differs from client to client in about half of its bits."""
    nonces = []
    for _ in range(60):
        with RawClient(turn) as client:
            client.challenge()
            nonces.append(client.nonce)
    assert len(set(nonces)) == len(nonces)
    tails = [nonce[-8:] for nonce in nonces]
    assert len(set(tails)) == len(tails)
    for place in range(8):
        counted = collections.Counter(tail[place] for tail in tails)
        assert max(counted.values()) < 25


def test_transactions_of_indications_cannot_be_told_from_chance(turn: TurnUnderTest) -> None:
    """Each bit of the server's own transaction IDs is set in about half of them."""
    with RawClient(turn) as client, Peer(turn.around.peers[0]) as peer:
        relayed = client.allocate()
        client.permit(peer.address)
        ids = []
        for _ in range(200):
            peer.send(b"x", relayed)
            ids.append(Message.decode(client.receive()).transaction_id)
    assert len(set(ids)) == len(ids)
    for bit in range(96):
        ones = sum(int.from_bytes(one, "big") >> bit & 1 for one in ids)
        assert 55 < ones < 145  # 6 standard deviations


def test_relayed_ports_do_not_follow_each_other(turn: TurnUnderTest) -> None:
    ports = []
    for _ in range(30):
        with RawClient(turn, "tcp") as client:
            ports.append(client.allocate().port)
    steps = [abs(b - a) for a, b in itertools.pairwise(ports)]
    assert sum(step < 10 for step in steps) <= 3
    assert max(ports) - min(ports) > 4000


# -- 14: another user on the same 5-tuple ----------------------------------------------------------


def test_another_user_cannot_permit_bind_or_delete(client: RawClient, peer: Peer) -> None:
    relayed = client.allocate()
    client.log_in(OTHER)
    assert client.code(Method.CREATE_PERMISSION, XorPeerAddress(peer.address)) == 441
    assert client.code(Method.REFRESH, Lifetime(0)) == 441
    client.log_in(USER).permit(peer.address)
    client.send_to(peer.address, b"still there")
    assert peer.receive() == (b"still there", relayed)


def test_a_token_is_of_the_user_who_reserved(turn: TurnUnderTest) -> None:
    with RawClient(turn) as owner, RawClient(turn) as thief:
        answer = owner.log_in().call(Method.ALLOCATE, UDP, EvenPort(True))
        token, first = answer.find(ReservationToken), answer.find(XorRelayedAddress)
        assert token is not None
        assert first is not None
        assert thief.log_in(OTHER).code(Method.ALLOCATE, UDP, token) == 508
        with RawClient(turn) as second:
            assert second.log_in().allocate(token).port == first.address.port + 1


# -- 15: names that expire -------------------------------------------------------------------------


def rest(expiry: float, name: str = "alice", secret: str = SECRET) -> tuple[str, str]:
    """Return the credentials that a web application gives out."""
    user = f"{int(expiry)}:{name}"
    digest = hmac.new(secret.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server with two secrets and a quota of two allocations for each user."""
    with turn_server(
        tmp_path_factory.mktemp("fleet"),
        *("--secret", SECRET, "--secret", "the-next-secret", "--user-quota", "2"),
        users=(),
    ) as server:
        yield server


@pytest.fixture(params=["udp", "tcp"])
def caller(fleet: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    with RawClient(fleet, request.param) as made:
        yield made


@pytest.mark.parametrize("secret", [SECRET, "the-next-secret"])
def test_a_name_that_is_good_for_an_hour_allocates(caller: RawClient, secret: str) -> None:
    assert caller.log_in(rest(time.time() + 3600, secret, secret)).allocate()


@pytest.mark.parametrize("ago", [1, 3600, 10**9])
def test_an_expired_name_does_not(caller: RawClient, ago: int) -> None:
    assert caller.log_in(rest(time.time() - ago)).code(Method.ALLOCATE, UDP) == 401


def test_an_expiry_that_was_put_off_does_not(caller: RawClient) -> None:
    _, password = rest(time.time() - 5)
    later, _ = rest(time.time() + 3600)
    assert caller.log_in((later, password)).code(Method.ALLOCATE, UDP) == 401


@pytest.mark.parametrize("name", ["alice", ":alice", "never:alice", "-1:alice", "9" * 400 + ":a"])
def test_a_name_without_an_expiry_does_not(caller: RawClient, name: str) -> None:
    digest = hmac.new(SECRET.encode(), name.encode(), hashlib.sha1).digest()
    caller.log_in((name, base64.b64encode(digest).decode()))
    assert caller.code(Method.ALLOCATE, UDP) == 401


# -- 16: quotas ------------------------------------------------------------------------------------


def test_one_allocation_too_many_is_486_until_one_is_freed(caller: RawClient) -> None:
    """By deletion on UDP, by closing the connection on TCP."""
    fleet, transport = caller.server, caller.transport
    who = rest(time.time() + 3600, f"quota-{transport}")
    second, third = RawClient(fleet, transport), RawClient(fleet, transport)
    with second, third:
        caller.log_in(who).allocate()
        second.log_in(who).allocate()
        assert third.log_in(who).code(Method.ALLOCATE, UDP) == 486
        if transport == "udp":
            assert caller.code(Method.REFRESH, Lifetime(0)) is None
        else:
            caller.close()
            time.sleep(0.1)
        assert third.code(Method.ALLOCATE, UDP) is None


def test_another_expiry_of_the_same_user_does_not_evade_the_quota(caller: RawClient) -> None:
    fleet, name = caller.server, f"evader-{caller.transport}"
    soon = time.time() + 3600
    with RawClient(fleet) as second, RawClient(fleet) as third:
        caller.log_in(rest(soon, name)).allocate()
        second.log_in(rest(soon + 1, name)).allocate()
        assert third.log_in(rest(soon + 2, name)).code(Method.ALLOCATE, UDP) == 486


def test_the_quota_of_one_user_is_not_that_of_another(caller: RawClient) -> None:
    fleet, transport = caller.server, caller.transport
    soon = time.time() + 3600
    with RawClient(fleet, transport) as second, RawClient(fleet, transport) as third:
        for client in (caller, second):
            client.log_in(rest(soon, f"one-{transport}")).allocate()
        third.log_in(rest(soon, f"two-{transport}")).allocate()


def test_a_signed_answer_is_what_an_account_gets(caller: RawClient) -> None:
    caller.log_in(rest(time.time() + 3600, f"signed-{caller.transport}"))
    answer: Message = caller.call(Method.ALLOCATE, UDP)
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.verify(caller.key)
