"""The TURN client's credentials: challenges, algorithms, and answers that are not believed."""

from __future__ import annotations

import pytest

from natkit.turn.client import State, TurnClient
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Allocated, AllocationFailed, Cause, ClientEvent, Failure
from natkit.turn.client_exchanges import CHALLENGES
from natkit.wire import (
    Attribute,
    Integrity,
    Message,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Realm,
    SecurityFeatures,
    UserHash,
    Username,
    long_term_key,
    nonce_with_features,
    user_hash,
)
from tests.turn.scripted import (
    KEY,
    LOGIN,
    REALM,
    SERVER,
    allocated,
    answer,
    challenge,
    client,
    granted,
    sent,
)

BOTH = PasswordAlgorithms((PasswordAlgorithm(2), PasswordAlgorithm(1)))
ALGORITHMS_NONCE = Nonce(nonce_with_features(SecurityFeatures.PASSWORD_ALGORITHMS, "x"))
SHA256_KEY = long_term_key("alice", REALM, "wonderland", PasswordHash.SHA256)


def begun(login: Login | None = LOGIN, *, reliable: bool = False) -> TurnClient:
    machine = client(login, reliable=reliable)
    machine.allocate(now=0.0)
    return machine


def failure_in(events: list[ClientEvent]) -> Failure:
    (event,) = events
    assert isinstance(event, AllocationFailed)
    return event.failure


def test_challenge_is_answered_with_user_realm_nonce_and_sha1() -> None:
    request = challenge(begun())
    assert request.attributes[1:] == (Username("alice"), Realm(REALM), Nonce("n1"))
    assert request.integrity is Integrity.SHA1
    assert request.verify(KEY)


def test_login_is_prepared_as_an_opaque_string() -> None:
    # A no-break space, and an e with a combining accent.
    assert Login("ali\u00a0ce", "cafe\u0301").prepared() == Login("ali ce", "café")


def test_offered_sha256_is_taken_and_signs_alone() -> None:
    request = challenge(begun(), Realm(REALM), ALGORITHMS_NONCE, BOTH)
    assert request.find(PasswordAlgorithms) == BOTH
    assert request.find(PasswordAlgorithm) == PasswordAlgorithm(PasswordHash.SHA256)
    assert request.integrity is Integrity.SHA256
    assert request.verify(SHA256_KEY)


def test_answer_to_sha256_is_believed_with_sha256() -> None:
    machine = begun()
    request = challenge(machine, Realm(REALM), ALGORITHMS_NONCE, BOTH)
    (event,) = answer(machine, granted(request), key=SHA256_KEY, integrity=Integrity.SHA256)
    assert isinstance(event, Allocated)


def test_unknown_algorithms_are_passed_over() -> None:
    offered = PasswordAlgorithms((PasswordAlgorithm(77), PasswordAlgorithm(1)))
    request = challenge(begun(), Realm(REALM), ALGORITHMS_NONCE, offered)
    assert request.find(PasswordAlgorithm) == PasswordAlgorithm(PasswordHash.MD5)
    assert request.integrity is Integrity.SHA256
    assert request.verify(KEY)


def test_only_unknown_algorithms_end_it() -> None:
    machine = begun()
    offered = PasswordAlgorithms((PasswordAlgorithm(77),))
    refusal = sent(machine).error(401, "Who?", Realm(REALM), ALGORITHMS_NONCE, offered)
    assert failure_in(answer(machine, refusal, key=None)).cause is Cause.UNUSABLE


def test_anonymity_bit_has_the_user_named_by_hash_alone() -> None:
    nonce = Nonce(nonce_with_features(SecurityFeatures.USERNAME_ANONYMITY, "x"))
    request = challenge(begun(), Realm(REALM), nonce)
    assert request.find(Username) is None
    assert request.find(UserHash) == UserHash(user_hash("alice", REALM))


def test_list_of_algorithms_taken_out_on_the_way_ends_it() -> None:
    machine = begun()
    refusal = sent(machine).error(401, "Who?", Realm(REALM), ALGORITHMS_NONCE)
    assert failure_in(answer(machine, refusal, key=None)).cause is Cause.BID_DOWN
    assert machine.transmits() == []


def test_second_401_is_the_end() -> None:
    machine = begun()
    again = challenge(machine).error(401, "No", Realm(REALM), Nonce("n2"))
    failure = failure_in(answer(machine, again, key=None))
    assert (failure.cause, failure.code, failure.realm) == (Cause.REFUSED, 401, REALM)


def test_401_with_another_realm_is_answered_again() -> None:
    machine = begun()
    again = challenge(machine).error(401, "No", Realm("other.org"), Nonce("n2"))
    assert answer(machine, again, key=None) == []
    assert sent(machine).verify(long_term_key("alice", "other.org", "wonderland"))


def test_server_that_changes_its_realm_for_ever_is_left() -> None:
    machine = begun()
    request, rounds = sent(machine), 0
    while machine.state is State.ALLOCATING:
        rounds += 1
        refusal = request.error(401, "No", Realm(f"realm{rounds}"), Nonce("n"))
        answer(machine, refusal, key=None)
        if machine.state is State.ALLOCATING:
            request = sent(machine)
    assert rounds == CHALLENGES + 1


def test_without_a_login_a_challenge_is_the_end() -> None:
    machine = begun(None)
    refusal = sent(machine).error(401, "Who?", Realm(REALM), Nonce("n1"))
    assert failure_in(answer(machine, refusal, key=None)).cause is Cause.NO_LOGIN


@pytest.mark.parametrize("attributes", [(), (Realm(REALM),), (Nonce("n1"),)], ids=str)
def test_401_that_lacks_realm_or_nonce_is_of_no_use(attributes: tuple[Attribute, ...]) -> None:
    machine = begun()
    refusal = sent(machine).error(401, "Who?", *attributes)
    assert failure_in(answer(machine, refusal, key=None)).cause is Cause.UNUSABLE


def test_stale_nonce_is_replaced_for_all_later_requests() -> None:
    machine = allocated()
    machine.permit("198.51.100.7", now=1.0)
    stale = sent(machine)
    answer(machine, stale.error(438, "Stale", Realm(REALM), Nonce("n2")), key=None, now=1.0)
    again = sent(machine)
    assert again.find(Nonce) == Nonce("n2")
    assert again.transaction_id != stale.transaction_id
    machine.permit("198.51.100.8", now=1.0)
    assert sent(machine).find(Nonce) == Nonce("n2")


def test_stale_nonce_without_a_realm_keeps_the_known_one() -> None:
    machine = allocated()
    machine.permit("198.51.100.7", now=1.0)
    answer(machine, sent(machine).error(438, "Stale", Nonce("n2")), key=None, now=1.0)
    assert sent(machine).find(Realm) == Realm(REALM)


def test_requests_under_way_together_survive_one_stale_nonce() -> None:
    machine = allocated()
    ips = ("198.51.100.7", "198.51.100.8", "198.51.100.9")
    for ip in ips:
        machine.permit(ip, now=1.0)
    first = [Message.decode(transmit.data) for transmit in machine.transmits()]
    for request in first:
        refusal = request.error(438, "Stale", Realm(REALM), Nonce("n2"))
        assert answer(machine, refusal, key=None, now=1.0) == []
    again = [Message.decode(transmit.data) for transmit in machine.transmits()]
    assert [request.find(Nonce) for request in again] == [Nonce("n2")] * 3
    for request in again:
        assert len(answer(machine, request.success(), now=1.0)) == 1


def test_nonce_that_is_stale_for_ever_ends_the_request() -> None:
    machine = begun()
    request = challenge(machine)
    for number in range(CHALLENGES):
        refusal = request.error(438, "Stale", Realm(REALM), Nonce(f"again{number}"))
        events = answer(machine, refusal, key=None)
        if machine.state is State.ALLOCATING:
            request = sent(machine)
    assert failure_in(events).code == 438


@pytest.mark.parametrize("key", [None, b"another key"], ids=["unsigned", "badly signed"])
def test_unproved_success_over_udp_is_as_if_nothing_had_come(key: bytes | None) -> None:
    machine = begun()
    request = challenge(machine)
    assert answer(machine, granted(request), key=key) == []
    assert isinstance(answer(machine, granted(request))[0], Allocated)


def test_nothing_but_unproved_answers_is_told_apart_from_silence() -> None:
    machine = begun()
    answer(machine, granted(challenge(machine)), key=b"another key")
    while machine.deadline() is not None:
        machine.tick(now=machine.deadline() or 0.0)
    assert failure_in(machine.events()).cause is Cause.UNPROVED


def test_unproved_success_on_a_stream_ends_it_at_once() -> None:
    machine = begun(reliable=True)
    events = answer(machine, granted(challenge(machine)), key=b"another key")
    assert failure_in(events).cause is Cause.UNPROVED


def test_error_without_a_signature_is_believed_but_a_badly_signed_one_is_not() -> None:
    machine = begun()
    request = challenge(machine)
    assert answer(machine, request.error(486, "Quota"), key=b"another key") == []
    assert failure_in(answer(machine, request.error(486, "Quota"), key=None)).code == 486


def test_answer_to_another_method_is_ignored() -> None:
    machine = begun()
    request = challenge(machine)
    other = Message.request(request.method.REFRESH, request.transaction_id)
    machine.receive(other.success().encode(key=KEY), SERVER, now=0.0)
    assert machine.events() == []
