"""Long-term credentials, server side: RFC 8489 §9.2.4, step by step, without any state.

Rule of the file: an answer to who has not authenticated tells nothing but where to begin; the
reason for the log tells all.
"""

from __future__ import annotations

from dataclasses import dataclass

from natkit.machine import Seconds
from natkit.turn.answers import BAD_REQUEST, STALE_NONCE, UNAUTHENTICATED, Client, Refused
from natkit.turn.credentials import Candidates
from natkit.turn.forwarding import Path
from natkit.turn.nonce import Nonces
from natkit.turn.settings import Settings
from natkit.wire import (
    Integrity,
    Message,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Ready,
    Realm,
    SecurityFeatures,
    UserHash,
    Username,
    long_term_key,
)

ALGORITHMS = PasswordAlgorithms(
    (PasswordAlgorithm(PasswordHash.SHA256), PasswordAlgorithm(PasswordHash.MD5))
)
"""What this server takes, best first."""

ANNOUNCED = Ready(ALGORITHMS)

USERNAME_LIMIT = 508
"""Bytes of USERNAME (RFC 8489 §14.3: fewer than 509)."""

TEXT_LIMIT = 763
"""Bytes of REALM and NONCE (§14.9, §14.10)."""

BEGINS = "not authenticated yet"
STALE = "its nonce is too old, or another client's"
"""Why a healthy handshake is answered by an error."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Nobody here knows the user, but somebody else may (`Credentials.elsewhere`)."""

    username: str


class Authenticator:
    """Tells who sent a request."""

    def __init__(self, settings: Settings) -> None:
        self._realm = settings.realm
        self._said_realm = Ready(Realm(settings.realm))
        self._credentials = settings.credentials
        self._hashes = settings.credentials.hashes(settings.realm)
        features = SecurityFeatures.PASSWORD_ALGORITHMS
        if settings.credentials.anonymity:
            features |= SecurityFeatures.USERNAME_ANONYMITY
        self._nonces = Nonces(settings.nonce_key, settings.nonce_lifetime, features)

    def authenticate(
        self,
        message: Message,
        path: Path,
        *,
        known: Client | None,
        told: tuple[str, ...] | None,
        unix_time: Seconds,
    ) -> Client | Unsettled:
        """Walk the list of RFC 8489 §9.2.4.

        Args:    known: whose allocation the request is about. No call ends because a REST name
                        expires, and nobody is looked up twice for one; but who is no longer in the
                        settings cannot prolong anything.
                 told: passwords that somebody else knew; None: nobody was asked yet.
        Raises:  Refused, for 400, 401 and 438.
        """
        # "If the message does not contain MESSAGE-INTEGRITY...": the way every handshake begins.
        if message.integrity is None:
            raise self._challenge(UNAUTHENTICATED, BEGINS, path, unix_time)
        # "...but is missing either the USERNAME or USERHASH, REALM, or NONCE".
        name, nonce, realm = self._name(message), message.find(Nonce), message.find(Realm)
        if nonce is None or realm is None:
            raise Refused(BAD_REQUEST, "signed, but without REALM or NONCE")
        if len(realm.text.encode()) > TEXT_LIMIT or len(nonce.text.encode()) > TEXT_LIMIT:
            raise Refused(BAD_REQUEST, "REALM or NONCE is too long")
        # The nonce before anything that costs a look-up; its bits are signed by us.
        if not self._nonces.accepts(nonce.text, path, unix_time=unix_time):
            raise self._challenge(STALE_NONCE, STALE, path, unix_time, user=name)
        algorithm = _algorithm(message)
        if name is None:
            why = "unknown user: no user has this USERHASH"
            raise self._challenge(UNAUTHENTICATED, why, path, unix_time)
        if realm.text != self._realm:
            why = f"wrong realm {realm.text!r}, ours is {self._realm!r}"
            raise self._challenge(UNAUTHENTICATED, why, path, unix_time, user=name)
        theirs = known if known is not None and known.username == name else None
        found = self._candidates(name, told, unix_time, ongoing=theirs is not None)
        if found.elsewhere:
            if theirs is None or not theirs.elsewhere or not message.verify(theirs.key):
                return Unsettled(name)
            return self._client(message, name, theirs.key, elsewhere=True)
        for password in found.passwords:
            key = long_term_key(name, self._realm, password, algorithm)
            if message.verify(key):
                return self._client(message, name, key, elsewhere=told is not None)
        why = found.why or "bad integrity: the password or secret differs"
        raise self._challenge(UNAUTHENTICATED, why, path, unix_time, user=name)

    def nonce_elsewhere(self, path: Path, *, unix_time: Seconds) -> Nonce:
        """Return what a client that is sent on can sign with at the other server."""
        return Nonce(self._nonces.mint(path, unix_time=unix_time, from_any_port=True))

    def _name(self, message: Message) -> str | None:
        """Return the user's name; None: no user has this USERHASH.

        Raises: Refused: 400, there is neither or the name is too long.
        """
        username, userhash = message.find(Username), message.find(UserHash)
        if username is not None:
            if len(username.text.encode()) > USERNAME_LIMIT:
                raise Refused(BAD_REQUEST, "USERNAME is too long")
            return username.text
        if userhash is None:
            raise Refused(BAD_REQUEST, "signed, but without USERNAME and USERHASH")
        return self._hashes.get(userhash.value)

    def _candidates(
        self, name: str, told: tuple[str, ...] | None, unix_time: Seconds, *, ongoing: bool
    ) -> Candidates:
        if told is not None:
            return Candidates(told, "" if told else "unknown user")
        return self._credentials.candidates(name, unix_time=unix_time, ongoing=ongoing)

    def _client(self, message: Message, name: str, key: bytes, *, elsewhere: bool) -> Client:
        # Of two HMACs the stronger was verified, and is what the answer bears.
        weak = message.integrity is Integrity.SHA1
        integrity = Integrity.SHA1 if weak else Integrity.SHA256
        account = self._credentials.account(name)
        return Client(name, account, key, integrity, elsewhere)

    def _challenge(
        self, code: int, why: str, path: Path, unix_time: Seconds, user: str | None = None
    ) -> Refused:
        """Return a 401 or 438 with all that a client needs to try again."""
        nonce = Nonce(self._nonces.mint(path, unix_time=unix_time))
        routine = why in (BEGINS, STALE)
        return Refused(code, why, self._said_realm, nonce, ANNOUNCED, user=user, routine=routine)


def _algorithm(message: Message) -> PasswordHash:
    """Return how the client made its key; none said is MD5.

    A client that says one must repeat all that it was offered: somebody on the way may have taken
    the better ones out (bid-down).
    """
    offered, chosen = message.find(PasswordAlgorithms), message.find(PasswordAlgorithm)
    if offered is None and chosen is None:
        return PasswordHash.MD5
    if offered is None or chosen is None:
        raise Refused(BAD_REQUEST, "one of PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS is missing")
    if offered != ALGORITHMS or chosen not in ALGORITHMS.algorithms:
        raise Refused(BAD_REQUEST, "PASSWORD-ALGORITHMS is not what was offered: bid down?")
    return PasswordHash(chosen.number)
