"""How a NAT numbers: which external port and which external address a new mapping gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from random import Random
from typing import assert_never

from natkit.lab.topology import Nat, Pooling, PortPolicy
from natkit.wire import TransportAddress


def stable_hash(*parts: object) -> int:
    """Return the same 64 bits for the same parts, in every run (unlike `hash`)."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest())


class PortPicker:
    """Gives external ports by a NAT's port policy."""

    def __init__(self, nat: Nat, rng: Random) -> None:
        self._policy = nat.ports
        self._low, high = nat.port_range
        self._size = high - self._low + 1
        self._step = nat.port_step
        self._random = rng
        self._last = self._low + rng.randrange(self._size)
        self._salt = rng.getrandbits(32)

    def pick(self, wanted: int, key: object, is_free: Callable[[int], bool]) -> int | None:
        """Return a free port for a new mapping; None when none is left.

        Args:
            wanted:  the internal port.
            key:     the mapping's key, which HASHED numbers by.
            is_free: whether a port can be given for this mapping.
        """
        for port in self._candidates(wanted, key):
            if is_free(port):
                self._last = port
                return port
        return None

    def _candidates(self, wanted: int, key: object) -> Iterator[int]:
        match self._policy:
            case PortPolicy.PRESERVING:
                if self._low <= wanted < self._low + self._size:
                    yield wanted
                yield from self._from(self._random.randrange(self._size))
            case PortPolicy.RANDOM:
                yield from self._from(self._random.randrange(self._size))
            case PortPolicy.SEQUENTIAL:
                yield from self._from(self._last - self._low + self._step, self._step)
            case PortPolicy.HASHED:
                yield from self._from(stable_hash(self._salt, key))
            case _:
                assert_never(self._policy)

    def _from(self, offset: int, step: int = 1) -> Iterator[int]:
        for turn in range(self._size):
            yield self._low + (offset + turn * step) % self._size


class AddressPicker:
    """Gives external addresses by a NAT's pool and pooling.

    Args:
        outside: the router's own outside address, used where there is no pool.
        hosts:   the inside addresses, in the order that one-to-one pairs them with the pool.
    """

    def __init__(self, nat: Nat, outside: str, hosts: tuple[str, ...], rng: Random) -> None:
        self._pool = nat.pool or (outside,)
        self._pooling = nat.pooling
        self._random = rng
        self._own = dict(zip(hosts, self._pool, strict=False)) if nat.one_to_one else None
        self._hosts = {external: host for host, external in (self._own or {}).items()}

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address this NAT answers for."""
        return self._pool

    def host_of(self, external_ip: str) -> str | None:
        """Return the inside host that owns `external_ip` in a one-to-one NAT."""
        return self._hosts.get(external_ip)

    def pick(self, inside: TransportAddress, remote: TransportAddress) -> str | None:
        """Return the external IP for a new mapping; None when the host has none."""
        if self._own is not None:
            return self._own.get(inside.ip)
        if len(self._pool) == 1:
            return self._pool[0]
        match self._pooling:
            case Pooling.PAIRED:
                return self._pool[stable_hash(inside.ip) % len(self._pool)]
            case Pooling.PER_DESTINATION:
                return self._pool[stable_hash(inside.ip, remote.ip) % len(self._pool)]
            case Pooling.ARBITRARY:
                return self._random.choice(self._pool)
            case _:
                assert_never(self._pooling)
