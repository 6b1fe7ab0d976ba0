"""What failures of TURN mean, in words: those that no simulated network shows."""

from __future__ import annotations

import pytest

from natkit.errors import NetworkUnreachable
from natkit.tools.turn_words import (
    Given,
    allocation_problem,
    connect_problem,
    permission_problem,
    relayed_problem,
)
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Cause, Failure
from natkit.turn.forwarding import Transport
from natkit.wire import Method, TransportAddress

GIVEN = Given(Login("alice", "wonderland"), from_secret=False, unix_time=0.0)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, "
            "certificate is not valid for 'turn.example.org'.",
            "the certificate is for another name than turn.example.org",
        ),
        (
            "IP address mismatch, certificate is not valid for '1.2.3.4'",
            "the certificate is for another name than turn.example.org",
        ),
        ("certificate verify failed: certificate has expired", "the certificate has expired"),
        (
            "certificate verify failed: self-signed certificate",
            "the certificate is signed by nobody that is trusted here",
        ),
        (
            "certificate verify failed: unable to get local issuer certificate",
            "the chain of the certificate is not complete, or its authority is not trusted here",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "cannot connect: [SSL: WRONG"),
        ("", "cannot connect"),
    ],
)
def test_tls_failure_names_what_is_wrong_with_the_certificate(said: str, what: str) -> None:
    error = NetworkUnreachable("cannot connect", why=said)
    problem = connect_problem(error, Transport.TLS, "turn.example.org")
    assert problem.what.startswith(what)
    assert problem.exit_code == 3


@pytest.mark.parametrize(
    ("cause", "what", "code"),
    [
        (Cause.UNPROVED, "the answers are not signed with this password", 4),
        (Cause.BID_DOWN, "the list of password algorithms is missing", 4),
        (Cause.DISCONNECTED, "the connection ended before the answer", 3),
    ],
)
def test_cause_without_a_code_has_words(cause: Cause, what: str, code: int) -> None:
    problem = allocation_problem(Failure(Method.ALLOCATE, cause), GIVEN, Transport.TCP)
    assert problem.what.startswith(what)
    assert problem.exit_code == code
    assert problem.mend


def test_nonce_that_is_always_stale_suspects_the_address_or_a_fleet() -> None:
    failure = Failure(Method.ALLOCATE, Cause.REFUSED, 438, "Stale Nonce")
    problem = allocation_problem(failure, GIVEN, Transport.UDP)
    assert "two uplinks" in problem.mend
    assert "do not share" in problem.mend


@pytest.mark.parametrize(
    ("relayed", "server", "private"),
    [
        ("10.0.0.5", "8.8.8.8", True),
        ("172.17.0.2", "8.8.8.8", True),
        ("8.8.8.8", "8.8.8.8", False),
        ("192.168.1.5", "192.168.1.5", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_private_relayed_address_matters_on_a_public_server(
    relayed: str, server: str, private: bool
) -> None:
    problem = relayed_problem(TransportAddress(relayed, 50000), TransportAddress(server, 3478))
    assert (problem is not None) == private
    if problem is not None:
        assert f"{relayed}:50000 is private" in problem.what
        assert f"--relay-address {relayed}=PUBLIC" in problem.mend


def test_permission_that_fails_otherwise_sends_to_the_log() -> None:
    failure = Failure(Method.CREATE_PERMISSION, Cause.SILENT)
    problem = permission_problem(failure, "192.0.2.1", own=True)
    assert problem.what == "the permission for 192.0.2.1 failed: no answer came"


@pytest.mark.parametrize(
    ("own", "what"),
    [
        (True, "403: the server does not relay to its own relayed address 8.8.8.8"),
        (False, "403: the server does not relay to 8.8.8.8, where it sees us"),
    ],
)
def test_forbidden_peer_names_the_option_that_allows_it(own: bool, what: str) -> None:
    failure = Failure(Method.CREATE_PERMISSION, Cause.REFUSED, 403, "Forbidden")
    problem = permission_problem(failure, "8.8.8.8", own=own)
    assert problem.what == what
    assert "--allow-peer" in problem.mend
