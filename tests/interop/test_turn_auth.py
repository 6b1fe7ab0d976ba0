"""Who may use a TURN server: the long-term credential mechanism (RFC 8489 §9.2, RFC 8656 §5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from natkit.wire import (
    Integrity,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Realm,
    SecurityFeatures,
    UserHash,
    Username,
    XorMappedAddress,
    XorRelayedAddress,
    features_of,
    long_term_key,
    user_hash,
)
from tests.turnkit import UDP, AnyAttribute, RawClient, error_of, transaction_id
from tests.turnserver import OTHER, REALM, USER, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

MD5, SHA256 = PasswordAlgorithm(PasswordHash.MD5), PasswordAlgorithm(PasswordHash.SHA256)


# -- 10 to 12: the handshake -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND],
)
def test_a_request_without_integrity_is_challenged(client: RawClient, method: Method) -> None:
    answer = client.bare(method, UDP)
    assert error_of(answer) == 401
    assert answer.find(Realm) == Realm(REALM)
    assert answer.find(Nonce) is not None
    assert answer.integrity is None


def test_a_challenge_offers_password_algorithms_under_the_nonce_cookie(client: RawClient) -> None:
    answer = client.challenge()
    features = features_of(client.nonce)
    assert features is not None
    assert SecurityFeatures.PASSWORD_ALGORITHMS in features
    offered = answer.find(PasswordAlgorithms)
    assert offered is not None
    assert {algorithm.number for algorithm in offered.algorithms} == {1, 2}


@pytest.mark.parametrize("left_out", ["username", "realm", "nonce"])
def test_integrity_without_a_text_that_belongs_to_it_is_400(
    client: RawClient, left_out: str
) -> None:
    client.challenge()
    texts: dict[str, AnyAttribute] = {
        "username": Username(USER[0]),
        "realm": Realm(client.realm),
        "nonce": Nonce(client.nonce),
    }
    del texts[left_out]
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP, *texts.values())
    key = long_term_key(USER[0], client.realm, USER[1])
    assert error_of(client.exchange(asked.encode(key=key))) == 400


@pytest.mark.parametrize("credentials", [("nobody", USER[1]), (USER[0], "wrong")])
def test_an_unknown_user_and_a_wrong_password_get_the_same_401(
    client: RawClient, credentials: tuple[str, str]
) -> None:
    answer = client.log_in(credentials).call(Method.ALLOCATE, UDP)
    assert error_of(answer) == 401
    assert answer.find(Nonce) is not None
    assert answer.find(Realm) == Realm(REALM)


def test_a_wrong_realm_is_refused(client: RawClient) -> None:
    client.challenge()
    client.realm = "example.com"
    assert client.log_in().code(Method.ALLOCATE, UDP) in (400, 401)


def test_a_nonce_of_ones_own_is_stale_and_a_fresh_one_is_given(client: RawClient) -> None:
    client.log_in()
    client.nonce = "made-up-by-the-client"
    answer = client.call(Method.ALLOCATE, UDP)
    assert error_of(answer) == 438
    fresh = answer.find(Nonce)
    assert fresh is not None
    client.nonce = fresh.text
    assert client.code(Method.ALLOCATE, UDP) is None


# -- 13: SHA-256, and who would talk the client out of it ------------------------------------------


def algorithms_of(answer: Message) -> PasswordAlgorithms:
    found = answer.find(PasswordAlgorithms)
    assert found is not None
    return found


def sha256_request(client: RawClient, *attributes: AnyAttribute, hashed: bool = False) -> bytes:
    """Return the bytes of an Allocate that is signed as RFC 8489 lets one."""
    key = long_term_key(USER[0], client.realm, USER[1], PasswordHash.SHA256)
    name = UserHash(user_hash(USER[0], client.realm)) if hashed else Username(USER[0])
    who = (name, Realm(client.realm), Nonce(client.nonce), *attributes)
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP, *who)
    return asked.encode(key=key, integrity=Integrity.SHA256)


@pytest.mark.parametrize("hashed", [False, True], ids=["USERNAME", "USERHASH"])
def test_sha_256_allocates_and_is_answered_with_sha_256(client: RawClient, hashed: bool) -> None:
    offered = algorithms_of(client.challenge())
    answer = client.exchange(sha256_request(client, offered, SHA256, hashed=hashed))
    assert answer.find(XorRelayedAddress) is not None, answer
    assert answer.integrity is Integrity.SHA256
    assert answer.verify(long_term_key(USER[0], client.realm, USER[1], PasswordHash.SHA256))


def test_algorithms_other_than_the_offered_are_a_bid_down_and_400(client: RawClient) -> None:
    client.challenge()
    key = long_term_key(USER[0], client.realm, USER[1])
    who = (Username(USER[0]), Realm(client.realm), Nonce(client.nonce))
    asked = Message.request(
        Method.ALLOCATE, transaction_id(), UDP, *who, PasswordAlgorithms((MD5,)), MD5
    )
    assert error_of(client.exchange(asked.encode(key=key))) == 400


def test_an_algorithm_without_the_list_is_400(client: RawClient) -> None:
    client.challenge()
    assert error_of(client.exchange(sha256_request(client, SHA256))) == 400


def test_a_list_without_an_algorithm_is_400(client: RawClient) -> None:
    offered = algorithms_of(client.challenge())
    assert error_of(client.exchange(sha256_request(client, offered))) == 400


def test_neither_list_nor_algorithm_means_md5(client: RawClient) -> None:
    assert client.log_in().code(Method.ALLOCATE, UDP) is None


def test_both_integrities_in_the_order_of_the_rfc_are_taken(client: RawClient) -> None:
    client.log_in()
    who = (Username(USER[0]), Realm(client.realm), Nonce(client.nonce))
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP, *who)
    answer = client.exchange(asked.encode(key=client.key, integrity=Integrity.BOTH))
    assert error_of(answer) is None


# -- 14 to 16 --------------------------------------------------------------------------------------


def test_binding_needs_no_credentials(client: RawClient) -> None:
    assert client.bare(Method.BINDING).find(XorMappedAddress) == XorMappedAddress(client.local)


def test_what_is_answered_to_a_user_is_signed(client: RawClient) -> None:
    client.log_in()
    success = client.call(Method.ALLOCATE, UDP)
    mismatch = client.call(Method.ALLOCATE, UDP)
    assert success.verify(client.key)
    assert error_of(mismatch) == 437
    assert mismatch.verify(client.key)


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_another_user_on_the_same_5_tuple_gets_441(client: RawClient, method: Method) -> None:
    client.allocate()
    client.log_in(OTHER)
    assert client.code(method, Lifetime(0)) == 441


def test_the_user_itself_is_not_troubled_by_another(client: RawClient) -> None:
    client.allocate()
    client.log_in(OTHER).call(Method.REFRESH, Lifetime(0))
    answer = client.log_in(USER).call(Method.REFRESH, Lifetime(700))
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.find(Lifetime) == Lifetime(700)


def test_tls_carries_the_same_handshake(turn: TurnUnderTest) -> None:
    with RawClient(turn, "tls") as client:
        assert client.allocate().ip == turn.relay[0]


def test_name_and_password_may_be_written_in_more_than_one_way(tmp_path: Path) -> None:
    """An owner's keyboard composes letters otherwise than a client: both are one OpaqueString."""
    written = ("jose\u0301", "no\u00a0break")
    with (
        turn_server(tmp_path, ips=["127.0.0.1"], users=[written]) as server,
        RawClient(server) as client,
    ):
        assert client.log_in(("jos\u00e9", "no break")).code(Method.ALLOCATE, UDP) is None
