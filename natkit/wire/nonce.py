"""The cookie in a NONCE by which a server says what it can do (RFC 8489 §9.2, §18.1).

    obMatJos2 | 4 characters, base64 of 24 feature bits | the server's own

It sits in the nonce because that is the one thing of a first answer that the client sends back
unchanged: nobody on the way can take a feature out unnoticed.
"""

from __future__ import annotations

from enum import IntFlag

_PREFIX = "obMatJos2"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DIGITS = 4


class SecurityFeatures(IntFlag):
    """STUN Security Features.

    Bit 0 is the rightmost, as in the example of appendix B.1 and in verified erratum 6290; the text
    of §18.1 says the opposite.
    """

    NONE = 0
    PASSWORD_ALGORITHMS = 1
    USERNAME_ANONYMITY = 2


def nonce_with_features(features: SecurityFeatures, own: str) -> str:
    """Return the text of a NONCE that announces `features` and ends with the server's `own`."""
    digits = (_ALPHABET[features >> shift & 0x3F] for shift in (18, 12, 6, 0))
    return f"{_PREFIX}{''.join(digits)}{own}"


def features_of(nonce: str) -> SecurityFeatures | None:
    """Return what `nonce` announces; None: it bears no cookie (the server is older than RFC 8489).

    Bits that natkit does not know stay in the result.
    """
    digits = nonce[len(_PREFIX) : len(_PREFIX) + _DIGITS]
    if not nonce.startswith(_PREFIX) or len(digits) != _DIGITS:
        return None
    number = 0
    for digit in digits:
        if digit not in _ALPHABET:
            return None
        number = number << 6 | _ALPHABET.index(digit)
    return SecurityFeatures(number)
