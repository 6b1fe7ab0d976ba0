"""Nonces that need no memory: each proves by itself when it was made, and for whom.

    obMatJos2 FFFF | 4 bytes Unix time, 11 bytes of an HMAC, as 20 letters of base64

FFFF are the security features (natkit.wire.nonce). The HMAC covers them, the time and the client's
address, so a nonce is of no use from elsewhere, and every server with the same key takes it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode

from natkit.machine import Seconds
from natkit.turn.forwarding import Path
from natkit.wire import SecurityFeatures, nonce_with_features

_PROOF_SIZE = 11
"""Bytes of the HMAC: 88 bits are out of reach of guesses over a network, a 401 stays short, and
with the time they make 15 bytes, which base64 needs no padding for: each letter counts."""

_STAMP_SIZE = 4

_CLOCK_SKEW: Seconds = 60
"""By how much the clocks of a fleet may differ: a nonce from the future is good for so long."""


class Nonces:
    """Makes nonces and tells good ones.

    Args:
        key:      secret, shared by a fleet.
        lifetime: seconds for which a nonce is good (RFC 8489 §9.2: it should expire).
        features: what nonces announce.
    """

    def __init__(self, key: bytes, lifetime: Seconds, features: SecurityFeatures) -> None:
        self._key = key
        self._lifetime = lifetime
        self._head = nonce_with_features(features, "")

    def mint(self, path: Path, *, unix_time: Seconds) -> str:
        """Return a nonce for the client at the other end of `path`."""
        stamp = (int(unix_time) & 0xFFFFFFFF).to_bytes(_STAMP_SIZE, "big")
        proof = self._proof(stamp, path)
        return self._head + b64encode(stamp + proof).decode()

    def accepts(self, nonce: str, path: Path, *, unix_time: Seconds) -> bool:
        """Tell whether `nonce` was minted for this client, and not too long ago."""
        if not nonce.startswith(self._head):
            return False
        own = nonce[len(self._head) :]
        try:
            raw = b64decode(own, validate=True)
        except (binascii.Error, ValueError):
            return False
        stamp, proof = raw[:_STAMP_SIZE], raw[_STAMP_SIZE:]
        if not hmac.compare_digest(proof, self._proof(stamp, path)):
            return False
        age = unix_time - int.from_bytes(stamp, "big")
        return -_CLOCK_SKEW <= age < self._lifetime

    def _proof(self, stamp: bytes, path: Path) -> bytes:
        # Not the server's address: another one of the fleet may be asked next (300).
        # Of a stream only the IP, which its handshake has proved: ConnectionBind comes from another
        # port, and clients sign it with the nonce that they have (RFC 6062 §4.3).
        client = path.client.ip if path.transport.is_stream else path.client
        text = f"{self._head} {client} {path.transport.value}"
        return hmac.digest(self._key, stamp + text.encode(), hashlib.sha256)[:_PROOF_SIZE]
