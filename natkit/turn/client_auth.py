"""The client's long-term credentials: what to sign with, whom to believe (RFC 8489 §9.2).

The first request goes unsigned; its 401 brings realm, nonce and, from a server of this decade,
the list of password algorithms. Rule of the file: a request is tried again only when something
about its proof has changed, so that no server can make the client ask for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from natkit.turn.client_events import Cause
from natkit.turn.credentials import prepared
from natkit.wire import (
    Attribute,
    Integrity,
    Message,
    MessageClass,
    Nonce,
    PasswordAlgorithm,
    PasswordAlgorithms,
    PasswordHash,
    Realm,
    SecurityFeatures,
    UserHash,
    Username,
    features_of,
    long_term_key,
    user_hash,
)


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password, as somebody typed them."""

    username: str
    password: str

    def prepared(self) -> Login:
        """Return both as they are hashed: OpaqueString (RFC 8265 §4.2, RFC 8489 §9.2.2)."""
        return Login(prepared(self.username), prepared(self.password))


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the server wants a proof of.

    Attributes: algorithms: PASSWORD-ALGORITHMS as it came; None: a server older than RFC 8489.
    """

    realm: str
    nonce: str
    algorithms: PasswordAlgorithms | None = None

    @property
    def chosen(self) -> PasswordHash | None:
        """The first algorithm that natkit knows too; None: there is none."""
        if self.algorithms is None:
            return PasswordHash.MD5
        known = {int(algorithm) for algorithm in PasswordHash}
        numbers = (algorithm.number for algorithm in self.algorithms.algorithms)
        return next((PasswordHash(number) for number in numbers if number in known), None)

    @property
    def wants_anonymity(self) -> bool:
        """True when users are to be named by USERHASH alone (§9.2.5)."""
        return SecurityFeatures.USERNAME_ANONYMITY in (
            features_of(self.nonce) or SecurityFeatures.NONE
        )


class Signed(NamedTuple):
    """A request as sent.

    Attributes:
        key:       what its answer has to be signed with; None: the request is unsigned.
        challenge: what it answers to.
    """

    data: bytes
    key: bytes | None
    challenge: Challenge | None


class Authenticator:
    """Signs requests, and learns from refusals how to.

    Args: login: None: the server is hoped to want none.
    """

    def __init__(self, login: Login | None) -> None:
        self._login = None if login is None else login.prepared()
        self._challenge: Challenge | None = None
        self._key: bytes | None = None

    @property
    def challenge(self) -> Challenge | None:
        """What the server asked for last."""
        return self._challenge

    def sign(self, request: Message) -> Signed:
        """Return the bytes of `request` with all that the server wants to see."""
        challenge, login = self._challenge, self._login
        if challenge is None or login is None or self._key is None:
            return Signed(request.encode(), None, challenge)
        proof = self._proof(challenge, login)
        whole = Message.request(request.method, request.transaction_id, *request.attributes, *proof)
        # Whoever offers algorithms reads the stronger HMAC, and wants no other (§9.2.5).
        strong = challenge.algorithms is not None
        integrity = Integrity.SHA256 if strong else Integrity.SHA1
        return Signed(whole.encode(key=self._key, integrity=integrity), self._key, challenge)

    def challenged(self, refusal: Message, *, stale: bool) -> Cause | None:
        """Take a 401, or a 438 (`stale`); None: try again, else why that is of no use.

        RFC: 8489 §9.2.5.
        """
        challenge = self._read(refusal)
        if challenge is None:
            return Cause.UNUSABLE
        announced = features_of(challenge.nonce) or SecurityFeatures.NONE
        if SecurityFeatures.PASSWORD_ALGORITHMS in announced and challenge.algorithms is None:
            return Cause.BID_DOWN
        before, self._challenge = self._challenge, challenge
        if self._login is None:
            return Cause.NO_LOGIN
        if challenge.chosen is None:
            return Cause.UNUSABLE
        login = self._login
        self._key = long_term_key(login.username, challenge.realm, login.password, challenge.chosen)
        unchanged = before is not None and replace(before, nonce=challenge.nonce) == challenge
        if unchanged and not stale:
            return Cause.REFUSED
        return None

    def _read(self, refusal: Message) -> Challenge | None:
        """Return the challenge in a refusal; None: it bears none."""
        realm, nonce = refusal.find(Realm), refusal.find(Nonce)
        if nonce is None or (realm is None and self._challenge is None):
            return None
        known = self._challenge
        name = realm.text if realm is not None else known.realm if known is not None else ""
        return Challenge(name, nonce.text, refusal.find(PasswordAlgorithms))

    def _proof(self, challenge: Challenge, login: Login) -> list[Attribute]:
        """Return the attributes of §9.2.3.2, in the RFC's order."""
        who: Attribute = Username(login.username)
        if challenge.wants_anonymity:
            who = UserHash(user_hash(login.username, challenge.realm))
        proof = [who, Realm(challenge.realm), Nonce(challenge.nonce)]
        if challenge.algorithms is not None and challenge.chosen is not None:
            proof += [challenge.algorithms, PasswordAlgorithm(challenge.chosen)]
        return proof


def is_authentic(answer: Message, key: bytes | None) -> bool:
    """Tell whether an answer to a request signed with `key` may be believed (RFC 8489 §9.2.5).

    An error without any signature is believed, against the letter: servers up to coturn 4.6 sign
    none, and who could forge one could as well forge the 401 that nobody signs. A success must
    be signed.
    """
    if key is None:
        return True
    if answer.integrity is None:
        return answer.message_class is MessageClass.ERROR
    return answer.verify(key)
