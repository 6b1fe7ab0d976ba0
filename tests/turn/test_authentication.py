"""Long-term credentials on the server: RFC 8489 §9.2.4, step by step, and what the log is told."""

from __future__ import annotations

from typing import Any

import pytest

from natkit.turn import gate
from natkit.turn.credentials import Credentials, rest_password, rest_username
from natkit.turn.events import LookUpUser, RequestRefused
from natkit.turn.quota import Limits
from natkit.wire import (
    Attribute,
    Integrity,
    Message,
    Method,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Realm,
    SecurityFeatures,
    Unrecognised,
    UserHash,
    Username,
    XorRelayedAddress,
    features_of,
    long_term_key,
    nonce_with_features,
    user_hash,
)
from tests.turn.desk import EPOCH, OTHER, OVER_UDP, REALM, TCP, UDP, Desk, code

ID = bytes(range(12))
OFFERED = PasswordAlgorithms((PasswordAlgorithm(2), PasswordAlgorithm(1)))
MD5, SHA256 = PasswordAlgorithm(1), PasswordAlgorithm(2)


def asked(
    desk: Desk,
    *proof: Attribute | Unrecognised,
    key: bytes | None = long_term_key("alice", REALM, "secret"),
    integrity: Integrity = Integrity.SHA1,
) -> Message:
    """Send an Allocate with just this proof. Returns: the answer."""
    request = Message.request(Method.ALLOCATE, ID, OVER_UDP, *proof)
    [answer] = desk.put(request.encode(key=key, integrity=integrity))
    return Message.decode(answer)


def refusal(desk: Desk) -> RequestRefused:
    """Return what the log was told last."""
    return desk.pop(RequestRefused)[-1]


def proof(desk: Desk, user: str = "alice") -> tuple[Attribute, ...]:
    return Username(user), Realm(REALM), Nonce(desk.nonce(UDP))


# --- the handshake


def test_first_request_is_401_with_realm_nonce_and_algorithms_and_unsigned() -> None:
    desk = Desk()
    answer = asked(desk, key=None)
    assert code(answer) == 401
    assert answer.integrity is None
    assert answer.find(Realm) == Realm(REALM)
    assert answer.find(Nonce) is not None
    assert answer.find(PasswordAlgorithms) == OFFERED
    assert refusal(desk).routine


def test_first_401_takes_at_most_100_bytes() -> None:
    [answer] = Desk().put(Message.request(Method.ALLOCATE, ID, OVER_UDP).encode())
    assert len(answer) <= 100


def test_nonce_announces_algorithms_and_anonymity() -> None:
    both = SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY
    assert features_of(Desk().nonce(UDP)) == both


@pytest.mark.parametrize(
    "credentials", [Credentials({}, ("key",)), Credentials({}, elsewhere=True)]
)
def test_nonce_announces_no_anonymity_where_names_are_made_elsewhere(
    credentials: Credentials,
) -> None:
    features = features_of(Desk(credentials=credentials).nonce(UDP))
    assert features == SecurityFeatures.PASSWORD_ALGORITHMS


def test_nobody_who_has_not_authenticated_leaves_a_trace() -> None:
    desk = Desk()
    for number in range(100):
        path = UDP._replace(client=UDP.client._replace(port=1024 + number))
        desk.put(Message.request(Method.ALLOCATE, ID, OVER_UDP).encode(), path)
    assert desk.server.deadline() is None


@pytest.mark.parametrize("missing", [Username, Realm, Nonce])
def test_signed_without_username_realm_or_nonce_is_400(missing: type[Attribute]) -> None:
    desk = Desk()
    said = [attribute for attribute in proof(desk) if not isinstance(attribute, missing)]
    assert code(asked(desk, *said)) == 400


def oversized(number: int, size: int) -> Unrecognised:
    return Unrecognised(number, b"x" * size)


def test_username_of_508_bytes_is_taken_and_of_509_is_400() -> None:
    desk = Desk()
    _, realm, nonce = proof(desk)
    assert code(asked(desk, oversized(0x0006, 508), realm, nonce)) == 401
    assert code(asked(desk, oversized(0x0006, 509), realm, nonce)) == 400


@pytest.mark.parametrize(("number", "otherwise"), [(0x0014, 401), (0x0015, 438)])
def test_realm_or_nonce_of_764_bytes_is_400(number: int, otherwise: int) -> None:
    desk = Desk()
    others = [found for found in proof(desk) if number != found.TYPE]
    assert code(asked(desk, *others, oversized(number, 763))) == otherwise
    assert code(asked(desk, *others, oversized(number, 764))) == 400


def test_unknown_user_is_401_and_told() -> None:
    desk = Desk()
    assert code(asked(desk, *proof(desk, "mallory"))) == 401
    told = refusal(desk)
    assert (told.why, told.user, told.routine) == ("unknown user", "mallory", False)


def test_wrong_password_is_401_and_told() -> None:
    desk = Desk()
    answer = asked(desk, *proof(desk), key=b"wrong")
    assert code(answer) == 401
    assert answer.integrity is None
    assert answer.find(Nonce) is not None
    assert refusal(desk).why.startswith("bad integrity")


def test_wrong_realm_is_401_and_told() -> None:
    desk = Desk()
    username, _, nonce = proof(desk)
    key = long_term_key("alice", "elsewhere", "secret")
    assert code(asked(desk, username, Realm("elsewhere"), nonce, key=key)) == 401
    assert refusal(desk).why == "wrong realm 'elsewhere', ours is 'example.org'"


# --- nonces


def test_nonce_of_another_client_is_438() -> None:
    desk = Desk()
    username, realm, _ = proof(desk)
    answer = asked(desk, username, realm, Nonce(desk.nonce(OTHER)))
    assert code(answer) == 438
    assert answer.find(Nonce) is not None
    assert refusal(desk).routine


def test_nonce_of_another_port_is_438() -> None:
    desk = Desk()
    near = UDP._replace(client=UDP.client._replace(port=40001))
    username, realm, _ = proof(desk)
    assert code(asked(desk, username, realm, Nonce(desk.nonce(near)))) == 438


@pytest.mark.parametrize("nonce", ["", "x", "obMatJos2AAAA", "obMatJos2AAAD====", "é" * 20])
def test_nonce_that_we_never_made_is_438(nonce: str) -> None:
    desk = Desk()
    username, realm, _ = proof(desk)
    assert code(asked(desk, username, realm, Nonce(nonce))) == 438


def test_nonce_is_good_until_just_before_its_hour() -> None:
    desk = Desk()
    desk.nonce(UDP)
    desk.wait(3599.9)
    assert code(asked(desk, *proof(desk))) is None


def test_nonce_is_stale_at_its_hour_and_the_fresh_one_works() -> None:
    desk = Desk()
    desk.nonce(UDP)
    desk.wait(3600.0)
    answer = asked(desk, *proof(desk))
    assert code(answer) == 438
    fresh = answer.find(Nonce)
    assert fresh is not None
    assert code(asked(desk, Username("alice"), Realm(REALM), fresh)) is None


def test_nonce_of_another_server_of_the_fleet_is_good() -> None:
    first, second = Desk(seed=1), Desk(seed=2)
    second.nonces[UDP] = first.nonce(UDP)
    assert code(asked(second, *proof(second))) is None


def test_nonce_of_a_server_with_another_key_is_438() -> None:
    first, second = Desk(seed=1), Desk(nonce_key=b"another key, of 16")
    second.nonces[UDP] = first.nonce(UDP)
    assert code(asked(second, *proof(second))) == 438


# --- SHA-256 and bid-down


def test_md5_where_no_algorithm_is_said() -> None:
    desk = Desk()
    assert asked(desk, *proof(desk)).integrity is Integrity.SHA1


@pytest.mark.parametrize(
    ("chosen", "algorithm"), [(SHA256, PasswordHash.SHA256), (MD5, PasswordHash.MD5)]
)
@pytest.mark.parametrize("integrity", [Integrity.SHA1, Integrity.SHA256])
def test_key_is_made_as_the_client_chose(
    chosen: PasswordAlgorithm, algorithm: PasswordHash, integrity: Integrity
) -> None:
    desk = Desk()
    key = long_term_key("alice", REALM, "secret", algorithm)
    answer = asked(desk, *proof(desk), OFFERED, chosen, key=key, integrity=integrity)
    assert code(answer) is None
    assert answer.integrity is integrity
    assert answer.verify(key)


def test_both_hmacs_are_answered_by_the_stronger() -> None:
    desk = Desk()
    assert asked(desk, *proof(desk), integrity=Integrity.BOTH).integrity is Integrity.SHA256


@pytest.mark.parametrize(
    "said",
    [
        (OFFERED,),
        (SHA256,),
        (PasswordAlgorithms((MD5,)), MD5),
        (PasswordAlgorithms((MD5, SHA256)), MD5),
        (OFFERED, PasswordAlgorithm(3)),
        (OFFERED, PasswordAlgorithm(2, b"more")),
    ],
)
def test_algorithms_other_than_offered_are_400(said: tuple[Attribute, ...]) -> None:
    desk = Desk()
    assert code(asked(desk, *proof(desk), *said)) == 400


def test_algorithms_bit_taken_out_of_the_nonce_is_438() -> None:
    desk = Desk()
    username, realm, nonce = proof(desk)
    assert isinstance(nonce, Nonce)
    weaker = Nonce(nonce_with_features(SecurityFeatures.NONE, nonce.text[13:]))
    assert code(asked(desk, username, realm, weaker)) == 438


def test_user_is_known_by_userhash() -> None:
    desk = Desk()
    _, realm, nonce = proof(desk)
    assert code(asked(desk, UserHash(user_hash("alice", REALM)), realm, nonce)) is None


def test_userhash_of_nobody_is_401() -> None:
    desk = Desk()
    _, realm, nonce = proof(desk)
    assert code(asked(desk, UserHash(user_hash("mallory", REALM)), realm, nonce)) == 401
    assert refusal(desk).why.startswith("unknown user")


# --- REST secrets


REST = Credentials({"alice": "secret"}, ("new", "old"))


def minted(secret: str, expires_in: int, user: str = "carol") -> dict[str, Any]:
    name = rest_username(user, expires=int(EPOCH) + 1000 + expires_in)
    return {"user": name, "password": rest_password(secret, name)}


@pytest.mark.parametrize("secret", ["new", "old"])
def test_any_of_several_secrets_is_good(secret: str) -> None:
    desk = Desk(credentials=REST)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **minted(secret, 60))) is None


def test_static_users_go_with_secrets() -> None:
    desk = Desk(credentials=REST)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) is None


def test_unknown_secret_is_401() -> None:
    desk = Desk(credentials=REST)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **minted("stolen", 60))) == 401


def test_rest_name_is_good_until_just_before_it_expires() -> None:
    desk = Desk(credentials=REST)
    who = minted("new", 60)
    desk.nonce(UDP)
    desk.wait(59.9)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **who)) is None


def test_expired_rest_name_is_401_and_told_by_how_much() -> None:
    desk = Desk(credentials=REST)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **minted("new", 0))) == 401
    assert refusal(desk).why == "expired 0 s ago"
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **minted("new", -90))) == 401
    assert refusal(desk).why == "expired 90 s ago"


def test_call_goes_on_when_its_rest_name_expires() -> None:
    desk = Desk(credentials=REST)
    who = minted("new", 60)
    desk.allocate(**who)
    desk.wait(120)
    assert code(desk.refresh(600, **who)) is None


def test_expired_rest_name_cannot_allocate_anew_on_its_path() -> None:
    desk = Desk(credentials=REST)
    who = minted("new", 60)
    desk.allocate(**who)
    desk.wait(120)
    desk.refresh(0, **who)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, **who)) == 401


def test_quota_is_the_users_whatever_expiry_the_name_bears() -> None:
    desk = Desk(credentials=REST, limits=Limits(allocations_per_user=1))
    desk.allocate(**minted("new", 60))
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER, **minted("new", 61))
    assert code(answer) == 486


# --- without end


def test_unauthenticated_answers_over_udp_are_limited_per_ip() -> None:
    desk = Desk(limits=Limits(unauthorized_per_second=5))
    request = Message.request(Method.ALLOCATE, ID, OVER_UDP).encode()
    assert sum(len(desk.put(request)) for _ in range(50)) == 5
    assert desk.put(request, OTHER) != []
    desk.wait(1.0)
    assert sum(len(desk.put(request)) for _ in range(50)) == 5


def test_unauthenticated_answers_over_tcp_are_not_limited() -> None:
    desk = Desk(limits=Limits(unauthorized_per_second=5))
    request = Message.request(Method.ALLOCATE, ID, OVER_UDP).encode()
    assert sum(len(desk.put(request, TCP)) for _ in range(50)) == 50


def test_no_limit_where_there_is_none() -> None:
    desk = Desk(limits=Limits(unauthorized_per_second=None))
    request = Message.request(Method.ALLOCATE, ID, OVER_UDP).encode()
    assert sum(len(desk.put(request)) for _ in range(500)) == 500


# --- users whom somebody else knows


ELSEWHERE = Credentials({"alice": "secret"}, elsewhere=True)


def looked_up(desk: Desk, **who: Any) -> tuple[bytes, int]:
    request = desk.signed(Method.ALLOCATE, OVER_UDP, **who)
    assert desk.put(request) == []
    [command] = desk.pop(LookUpUser)
    assert (command.username, command.realm) == (who["user"], REALM)
    return request, command.ticket


def answered(desk: Desk, ticket: int, password: str | None) -> Message:
    desk.sent.clear()
    desk.server.user_known(ticket, password, now=desk.now)
    desk.settle()
    [answer] = desk.sent
    return Message.decode(answer.data)


def test_user_is_looked_up_elsewhere() -> None:
    desk = Desk(credentials=ELSEWHERE)
    _, ticket = looked_up(desk, user="dave", password="cave")
    assert answered(desk, ticket, "cave").find(XorRelayedAddress) is not None


@pytest.mark.parametrize(("password", "why"), [(None, "unknown"), ("other", "bad integrity")])
def test_user_whom_nobody_knows_is_401(password: str | None, why: str) -> None:
    desk = Desk(credentials=ELSEWHERE)
    _, ticket = looked_up(desk, user="dave", password="cave")
    assert code(answered(desk, ticket, password)) == 401
    assert refusal(desk).why.startswith(why)


def test_user_is_asked_for_once_by_a_retransmission_and_not_for_an_allocation_of_theirs() -> None:
    desk = Desk(credentials=ELSEWHERE)
    request, ticket = looked_up(desk, user="dave", password="cave")
    assert desk.put(request) == []
    answered(desk, ticket, "cave")
    assert code(desk.refresh(600, user="dave", password="cave")) is None


def test_so_many_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WAITING_LIMIT", 3)
    desk = Desk(credentials=ELSEWHERE)
    for _ in range(5):
        desk.put(desk.signed(Method.ALLOCATE, OVER_UDP, user="dave"))
    assert len(desk.pop(LookUpUser)) == 3


def test_answer_for_a_client_who_is_gone_makes_no_allocation() -> None:
    desk = Desk(credentials=ELSEWHERE)
    desk.put(desk.signed(Method.ALLOCATE, OVER_UDP, path=TCP, user="dave"), TCP)
    [command] = desk.pop(LookUpUser)
    desk.server.path_closed(TCP, now=desk.now)
    desk.server.user_known(command.ticket, "secret", now=desk.now)
    desk.settle()
    assert desk.open == set()
    assert desk.server.deadline() is None


def test_answer_that_comes_too_late_is_ignored() -> None:
    desk = Desk(credentials=ELSEWHERE)
    _, ticket = looked_up(desk, user="dave", password="cave")
    desk.wait(10)
    desk.sent.clear()
    desk.server.user_known(ticket, "cave", now=desk.now)
    desk.settle()
    assert desk.sent == []
    assert desk.server.deadline() is None
