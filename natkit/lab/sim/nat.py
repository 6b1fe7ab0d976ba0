"""A NAT as a pure machine: packets' ends in, packets' ends out, `now` as an argument.

Mapping and filtering are two functions of the remote address that return the part of it which
counts; the key made with them *is* the behaviour (RFC 4787 §4.1, §5).

It overloads ports as Linux does: a port is free towards a remote unless another inside host uses
it towards that very remote. Two hosts with the same source port share it until they meet at one
destination; then the second gets another port there and keeps that one for later destinations.
Newcomers on a shared port reach whoever had it first.

The rule of the file: everything is alive while `now < expires_at`. Packets going out move
`expires_at`; packets coming in never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from natkit.lab.sim.firewall import TCP_LIFETIME, Refusal
from natkit.lab.sim.packet import Proto
from natkit.lab.sim.ports import AddressPicker, PortPicker
from natkit.lab.topology import Nat
from natkit.machine import Instant, Seconds
from natkit.nat.behaviour import Filtering, Mapping
from natkit.wire import TransportAddress
from natkit.wire.address import ip_bytes

Key = tuple[object, ...]
KeyFunction = Callable[[TransportAddress], Key]

MAPPING_KEYS: dict[Mapping, KeyFunction] = {
    Mapping.ENDPOINT_INDEPENDENT: lambda _: (),
    Mapping.ADDRESS_DEPENDENT: lambda remote: (remote.ip,),
    Mapping.ADDRESS_AND_PORT_DEPENDENT: lambda remote: remote,
}
FILTERING_KEYS: dict[Filtering, KeyFunction] = {
    Filtering.ENDPOINT_INDEPENDENT: lambda _: (),
    Filtering.ADDRESS_DEPENDENT: lambda remote: (remote.ip,),
    Filtering.ADDRESS_AND_PORT_DEPENDENT: lambda remote: remote,
}

SWEEP_EVERY = 512
"""New mappings between two removals of dead ones; only memory depends on it."""


class Talk(NamedTuple):
    """Who inside speaks to whom outside. Numbers and lifetimes are kept for each talk."""

    proto: Proto
    inside: TransportAddress
    remote: TransportAddress


@dataclass(slots=True)
class Binding:
    """A mapping: an inside endpoint and the external one that stands for it.

    Attributes:
        permits: until when each filtering key may send in.
    """

    proto: Proto
    inside: TransportAddress
    external: TransportAddress
    expires_at: Instant = 0.0
    permits: dict[Key, Instant] = field(default_factory=dict)


@dataclass(slots=True)
class _Flow:
    """One inside endpoint's talk with one remote, and the mapping it uses."""

    binding: Binding
    expires_at: Instant = 0.0


class Translator:
    """The tables of one NAT.

    Args:
        outside: the router's outside IPv4 address.
        hosts:   inside addresses in topology order (for one-to-one).
        rng:     the NAT's own random numbers.
    """

    def __init__(self, nat: Nat, outside: str, hosts: tuple[str, ...], rng: Random) -> None:
        self.config = nat
        self._mapping_key = MAPPING_KEYS[nat.mapping]
        self._filtering_key = FILTERING_KEYS[nat.filtering]
        self._ports = PortPicker(nat, rng)
        self._addresses = AddressPicker(nat, outside, hosts, rng)
        self._newest: dict[Key, Binding] = {}
        self._flows: dict[Talk, _Flow] = {}
        self._returns: dict[tuple[Proto, TransportAddress, TransportAddress], _Flow] = {}
        self._by_external: dict[tuple[Proto, TransportAddress], list[Binding]] = {}
        self._disguises: dict[Talk, tuple[TransportAddress, TransportAddress]] = {}
        self._rng = rng
        self._made = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """The external IPs this NAT answers for."""
        return self._addresses.addresses

    def lifetime(self, proto: Proto) -> Seconds:
        """Return how long a mapping lives after the last packet out, seconds."""
        return TCP_LIFETIME if proto is Proto.TCP else self.config.lifetime

    def outbound(
        self, proto: Proto, inside: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> TransportAddress | Refusal:
        """Map a packet from `inside` to `remote`: return the source it leaves with."""
        talk = Talk(proto, inside, remote)
        flow = self._flows.get(talk)
        if flow is None or now >= flow.expires_at:
            binding = self._binding_for(talk, now)
            if isinstance(binding, Refusal):
                return binding
            flow = self._open_flow(binding, remote)
        binding = flow.binding
        expires_at = now + self.lifetime(proto)
        flow.expires_at = binding.expires_at = expires_at
        binding.permits[self._filtering_key(remote)] = expires_at
        return binding.external

    def inbound(
        self, proto: Proto, external: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> TransportAddress | Refusal:
        """Look up a packet from `remote` to `external`: return the inside endpoint it is for."""
        flow = self._returns.get((proto, external, remote))
        if flow is not None and now < flow.expires_at:
            return flow.binding.inside
        wanted = self._filtering_key(remote)
        host = self._addresses.host_of(external.ip)
        if host is not None and wanted == ():
            # A static mapping lets anybody in before a packet went out.
            inside = TransportAddress(host, external.port)
            binding = Binding(proto, inside, external, now + self.lifetime(proto))
            self._remember_asker(binding, remote, now)
            return inside
        alive = [b for b in self._sharers(proto, external) if now < b.expires_at]
        for binding in alive:
            if now < binding.permits.get(wanted, 0.0):
                self._remember_asker(binding, remote, now)
                return binding.inside
        return Refusal.FILTERED if alive else Refusal.NO_MAPPING

    def source_inside(
        self,
        proto: Proto,
        inside: TransportAddress,
        external: TransportAddress,
        remote: TransportAddress,
        *,
        now: Instant,
    ) -> TransportAddress:
        """Return whom `inside` sees a packet come from that `inbound` has let in.

        `remote`, unless it speaks to that one from another external port already. Then Linux gives
        the packet another source port, so that the answer leaves from the port that was asked.
        """
        talk = Talk(proto, inside, remote)
        own, asked = self._flows.get(talk), self._returns.get((proto, external, remote))
        if own is None or asked is None or own is asked or now >= own.expires_at:
            return remote
        for disguise, known in self._disguises.items():
            if known == (remote, external) and disguise[:2] == talk[:2]:
                return disguise.remote
        disguise = Talk(proto, inside, remote._replace(port=self._rng.randint(1024, 65535)))
        self._disguises[disguise] = (remote, external)
        self._flows[disguise] = asked
        return disguise.remote

    def destination_outside(
        self, proto: Proto, inside: TransportAddress, remote: TransportAddress
    ) -> TransportAddress:
        """Return whom a packet from `inside` to `remote` is really for: see `source_inside`."""
        real, _ = self._disguises.get(Talk(proto, inside, remote), (remote, None))
        return real

    def hairpin(
        self, proto: Proto, external: TransportAddress, source: TransportAddress, *, now: Instant
    ) -> TransportAddress | None:
        """Look up a packet from inside to `external`: return whose mapping that is, if anyone's.

        No filter: it guards against those outside (and Linux cannot be told otherwise).
        """
        host = self._addresses.host_of(external.ip)
        if host is not None:
            return TransportAddress(host, external.port)
        for binding in self._sharers(proto, external):
            if now < binding.expires_at:
                self._remember_asker(binding, source, now)
                return binding.inside
        return None

    def quoted_outbound(
        self, proto: Proto, inside: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> TransportAddress | None:
        """Return what `inside` is called towards `remote`, without opening anything."""
        flow = self._flows.get(Talk(proto, inside, remote))
        return flow.binding.external if flow is not None and now < flow.expires_at else None

    def quoted_inbound(
        self, proto: Proto, external: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> TransportAddress | None:
        """Return who inside sent from `external` to `remote`, without opening anything."""
        flow = self._returns.get((proto, external, remote))
        return flow.binding.inside if flow is not None and now < flow.expires_at else None

    def size(self, *, now: Instant) -> int:
        """Return how many mappings are alive."""
        return sum(now < b.expires_at for shared in self._by_external.values() for b in shared)

    def _sharers(self, proto: Proto, external: TransportAddress) -> list[Binding]:
        return self._by_external.get((proto, external), [])

    def _binding_for(self, talk: Talk, now: Instant) -> Binding | Refusal:
        """Return the mapping for a new flow: the newest of its key, or a new one."""
        key = (talk.proto, talk.inside, *self._mapping_key(talk.remote))
        binding = self._newest.get(key)
        if (
            binding is not None
            and now < binding.expires_at
            and not self._is_taken(talk, binding.external, now)
        ):
            return binding
        made = self._make(talk, key, now)
        if isinstance(made, Binding):
            self._newest[key] = made
        return made

    def _is_taken(self, talk: Talk, external: TransportAddress, now: Instant) -> bool:
        """Tell whether somebody already speaks to this remote from `external`."""
        flow = self._returns.get((talk.proto, external, talk.remote))
        return flow is not None and now < flow.expires_at

    def _make(self, talk: Talk, key: Key, now: Instant) -> Binding | Refusal:
        self._made += 1
        limit = self.config.table_size
        if limit is not None or self._made % SWEEP_EVERY == 0:
            self._sweep(now)
        if limit is not None and self.size(now=now) >= limit:
            return Refusal.TABLE_FULL
        ip = self._addresses.pick(talk.inside, talk.remote)
        if ip is None:
            return Refusal.NO_OUTSIDE_ADDRESS
        port = self._port_for(talk, ip, key, now)
        if port is None:
            return Refusal.TABLE_FULL
        binding = Binding(talk.proto, talk.inside, TransportAddress(ip, port))
        self._by_external.setdefault((talk.proto, binding.external), []).append(binding)
        return binding

    def _port_for(self, talk: Talk, ip: str, key: Key, now: Instant) -> int | None:
        if self.config.one_to_one:
            return talk.inside.port

        def is_free(port: int) -> bool:
            return not self._is_taken(talk, TransportAddress(ip, port), now)

        return self._ports.pick(talk.inside.port, key, is_free)

    def _open_flow(self, binding: Binding, remote: TransportAddress) -> _Flow:
        flow = _Flow(binding)
        self._flows[Talk(binding.proto, binding.inside, remote)] = flow
        self._returns[binding.proto, binding.external, remote] = flow
        return flow

    def _remember_asker(self, binding: Binding, remote: TransportAddress, now: Instant) -> None:
        """Let the answer leave from the port that was asked, whatever the mapping says."""
        flow = _Flow(binding, binding.expires_at)
        self._returns[binding.proto, binding.external, remote] = flow
        talk = Talk(binding.proto, binding.inside, remote)
        own = self._flows.get(talk)
        if own is None or now >= own.expires_at:
            self._flows[talk] = flow

    def _sweep(self, now: Instant) -> None:
        """Forget what is dead."""
        self._flows = {k: f for k, f in self._flows.items() if now < f.expires_at}
        self._returns = {k: f for k, f in self._returns.items() if now < f.expires_at}
        self._disguises = {k: v for k, v in self._disguises.items() if k in self._flows}
        self._newest = {k: b for k, b in self._newest.items() if now < b.expires_at}
        alive = (
            (k, [b for b in shared if now < b.expires_at])
            for k, shared in self._by_external.items()
        )
        self._by_external = {k: shared for k, shared in alive if shared}


def rewritten(payload: bytes, old_ip: str, new_ip: str) -> bytes:
    """Return `payload` as a careless ALG leaves it: the bytes of one IPv4 address for another's.

    An XOR-MAPPED-ADDRESS goes through untouched, which is why it exists (RFC 8489 §14.2).
    """
    return payload.replace(ip_bytes(old_ip), ip_bytes(new_ip))
