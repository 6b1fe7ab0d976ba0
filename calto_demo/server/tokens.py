"""Who somebody is, signed: JSON Web Tokens (RFC 7519) with HMAC-SHA256, for this server alone."""

from __future__ import annotations

from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

LIFETIME = 30 * 24 * 3600.0
"""Seconds: who comes back within a month is still signed in."""

_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token is for.

    Attributes: device: where they signed in; signing out ends its tokens.
    """

    user: str
    device: str


class BadToken(ValueError):
    """A token is not good. Attributes: code: "bad-token" or "expired-token"."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Tokens:
    """Makes tokens, and reads its own.

    Args: secret: 32 characters or more; who has it can be anybody.
    """

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)

    def mint(self, identity: Identity, *, now: float) -> tuple[str, float]:
        """Return a token, and until when it is good."""
        expires = int(now + LIFETIME)
        claims = {
            "iss": "calto",
            "sub": identity.user,
            "dev": identity.device,
            "iat": int(now),
            "exp": expires,
        }
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key), float(expires)

    def read(self, token: str, *, now: float) -> Identity:
        """Return whose token it is. Raises: BadToken: nobody's, or no more."""
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadToken("bad-token", "the token is not one of this server's") from error
        match claims:
            case {"iss": "calto", "sub": str(user), "dev": str(device), "exp": int(expires)}:
                pass
            case _:
                raise BadToken("bad-token", "the token is for something else")
        if now >= expires:
            raise BadToken("expired-token", "the token has expired")
        return Identity(user, device)
