"""Nonces that need no memory: each proves by itself when it was made, and for whom.

    obMatJos2 FFFF | 4 bytes Unix time, 11 bytes of proof, as 20 letters of base64

FFFF are the security features (natkit.wire.nonce). The proof is a keyed hash (BLAKE2b as a MAC,
RFC 7693 §2.9) of them, the time and the client's address, so a nonce is of no use from elsewhere,
and every server with the same key takes it. Who is sent on to another server gets one that names
its IP alone: a NAT may show that server another port, and libwebrtc does not survive a 438 there.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from functools import lru_cache

from natkit.machine import Seconds
from natkit.turn.forwarding import Path, Transport
from natkit.wire import SecurityFeatures, nonce_with_features

_PROOF_SIZE = 11
"""Bytes of the hash: 88 bits are out of reach of guesses over a network, a 401 stays short, and
with the time they make 15 bytes, which base64 needs no padding for: each letter counts."""

_STAMP_SIZE = 4
"""Bytes of Unix time, modulo 2^32: until 2106 it is the time itself."""

_STAMP_LETTERS = 8
"""Of base64, which the time is in: 6 bytes."""

_KEPT = 512
"""Nonces remembered, in 200 kB, so as not to be worked out again. Nothing depends on it."""

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
        self._lifetime = lifetime
        self._head = nonce_with_features(features, "")
        # Of any length, made to fit; and set up once, for a nonce is made for every 401.
        fitting = hashlib.blake2b(key, digest_size=32).digest()
        self._keyed = hashlib.blake2b(self._head.encode(), key=fitting, digest_size=_PROOF_SIZE)
        # What was minted for a client comes back in its next requests.
        self._minted = lru_cache(maxsize=_KEPT)(self._mint)

    def mint(self, path: Path, *, unix_time: Seconds, from_any_port: bool = False) -> str:
        """Return a nonce for the client at the other end of `path`.

        Args: from_any_port: for who is sent on to another server.
        """
        stamp = (int(unix_time) & 0xFFFFFFFF).to_bytes(_STAMP_SIZE, "big")
        whom = path.client.ip if from_any_port else _whom(path)
        return self._minted(stamp, whom, path.transport)

    def accepts(self, nonce: str, path: Path, *, unix_time: Seconds) -> bool:
        """Tell whether `nonce` was minted for this client, and not too long ago."""
        letters = nonce[len(self._head) : len(self._head) + _STAMP_LETTERS]
        try:
            stamp = binascii.a2b_base64(letters, strict_mode=True)[:_STAMP_SIZE]
        except ValueError:
            return False
        # Of all nonces with this stamp one is good, letter by letter, and one for any port.
        given = nonce.encode()
        if not any(
            hmac.compare_digest(given, self._minted(stamp, whom, path.transport).encode())
            for whom in (_whom(path), path.client.ip)
        ):
            return False
        age = unix_time - int.from_bytes(stamp, "big")
        return -_CLOCK_SKEW <= age < self._lifetime

    def _mint(self, stamp: bytes, whom: str, transport: Transport) -> str:
        # Not the server's address: another one of the fleet may be asked next (300).
        proof = self._keyed.copy()
        proof.update(b"%b %b %b" % (stamp, whom.encode(), transport.value.encode()))
        own = binascii.b2a_base64(stamp + proof.digest(), newline=False)
        return self._head + own.decode()


def _whom(path: Path) -> str:
    """Return what of its client a nonce names.

    Of a stream only the IP, which its handshake has proved: ConnectionBind comes from another port,
    and clients sign it with the nonce that they have (RFC 6062 §4.3).
    """
    return path.client.ip if path.transport.is_stream else str(path.client)
