"""Be a TURN server: everything that `natkit turn serve` runs, for whoever wants it in a program."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import socket
import ssl
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_ports import RelayAddress, RelayPorts
from natkit.aio.turn_server import Report, TurnService
from natkit.aio.turn_tls import server_context
from natkit.dataplane.portable import CAN_SET_DF, PortablePlane
from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.errors import NetworkUnreachable, UsageError
from natkit.network import Family
from natkit.tools.relay_config import Listen, RelayConfig
from natkit.tools.stun_serve import expanded
from natkit.turn.credentials import Credentials
from natkit.turn.forwarding import Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Limits
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import TransportAddress

_BUFFER = 4 << 20
"""Bytes that a listener's socket may buffer: all clients share it. Linux grants what
net.core.rmem_max allows."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a server listens and relays from, every wildcard replaced by what is behind it."""

    listen: tuple[Listen, ...]
    relay: tuple[RelayAddress, ...]


class Relay:
    """A running TURN server. Made by `serve`; `close` it when done.

    Attributes:
        service: its sessions and counters.
        uris:    what clients may be given.
        config:  what it runs with.
    """

    def __init__(
        self,
        config: RelayConfig,
        places: Places,
        ports: RelayPorts,
        tls: ssl.SSLContext | None,
        report: Callable[[Report], None],
    ) -> None:
        self.config = config
        self.ports = ports
        self._tls = tls
        self._nonce_key = _nonce_key(config)
        self._places = places
        self._draining = False
        self._listening: list[Listen] = []
        loop = asyncio.get_running_loop()
        self._machine = TurnServer(
            self._settings(config),
            randomness=secrets.token_bytes,
            epoch=time.time() - loop.time(),
        )
        self.service = TurnService(self._machine, ports, report)
        self.service.plane = PortablePlane(self.service, max_rate=config.max_bps)

    @property
    def uris(self) -> tuple[str, ...]:
        """What clients may be given."""
        return tuple(_uri(one) for one in self._listening)

    @property
    def listening(self) -> tuple[Listen, ...]:
        """Every transport and address it answers on, with the real ports."""
        return tuple(self._listening)

    async def open(self) -> None:
        """Bind every listener. Raises: NetworkUnreachable: one of them cannot be bound."""
        streams: dict[TransportAddress, set[Transport]] = defaultdict(set)
        for one in self._places.listen:
            if one.transport is Transport.UDP:
                sock = _bound(one, socket.SOCK_DGRAM)
                local = from_socket(sock.getsockname())
                self.service.plane.add_listener(local, sock)
                self._listening.append(Listen(one.transport, local))
            else:
                streams[one.address].add(one.transport)
        for address, kinds in streams.items():
            sock = _bound(Listen(min(kinds, key=str), address), socket.SOCK_STREAM)
            local = from_socket(sock.getsockname())
            tls = self._tls if Transport.TLS in kinds else None
            await self.service.accept(sock, tls=tls, plain=Transport.TCP in kinds)
            self._listening += [Listen(kind, local) for kind in sorted(kinds, key=str)]
        # Only now are the ports known that the policy has to protect.
        self.service.reconfigure(self._settings(self.config))

    def drain(self) -> None:
        """Make no more allocations; those there are go on."""
        self._draining = True
        self.service.drain(None)

    async def drained(self) -> None:
        """Wait until the last allocation has ended, or the limit has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain):
                await self.service.idle.wait()

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        await self.service.close()

    def reload(self, config: RelayConfig) -> tuple[str, ...]:
        """Go on with other users, secrets, certificates, limits and lists; calls go on.

        Returns: what has changed, in words, what needs a restart included.
        Raises:  UsageError: the certificate cannot be used; nothing has changed then.
        """
        if self._tls is not None and config.tls_cert is not None:
            load_certificate(server_context(), config)
            load_certificate(self._tls, config)
        changes = _differences(self.config, config)
        self.config = config
        self.service.reconfigure(self._settings(config))
        plane = self.service.plane
        if isinstance(plane, PortablePlane):
            plane.max_rate = config.max_bps
        return changes

    def _settings(self, config: RelayConfig) -> Settings:
        relayed = self._places.relay
        families = {address.family for address in relayed}
        own = {one.address for one in self._listening}
        if config.metrics is not None:
            own.add(config.metrics)
        return Settings(
            realm=config.realm,
            credentials=Credentials(dict(config.users), config.secrets),
            nonce_key=self._nonce_key,
            policy=PeerPolicy(
                allow=config.allow_peer,
                deny=config.deny_peer,
                own=frozenset(own),
                relayed=frozenset(address.advertised for address in relayed),
                relay_ports=config.relay_ports,
            ),
            limits=Limits(allocations_per_user=config.user_quota, allocations=config.total_quota),
            families=tuple(family for family in Family if family in families),
            dont_fragment=CAN_SET_DF,
        )


async def serve(
    network: SocketNetwork, config: RelayConfig, report: Callable[[Report], None]
) -> Relay:
    """Run a TURN server.

    Args:   report: hears of sessions and refusals.
    Raises: UsageError:         the configuration cannot work on this machine.
            NetworkUnreachable: an address cannot be bound.
    """
    places = check(network, config)
    tls = None
    if config.tls_cert is not None:
        tls = server_context()
        load_certificate(tls, config)
    relay = Relay(config, places, RelayPorts(places.relay, config.relay_ports), tls, report)
    try:
        await relay.open()
    except BaseException:
        await relay.close()
        raise
    return relay


def check(network: SocketNetwork, config: RelayConfig) -> Places:
    """Return where this configuration listens and relays on this machine.

    Raises: UsageError: it cannot work here.
    """
    listen = []
    for one in config.listen:
        listen += [
            Listen(one.transport, at) for at in expanded(network, [one.address], loopback=True)
        ]
    if not listen:
        raise UsageError("no address to listen on", hint="Give --listen udp://IP:PORT")
    if config.tls_cert is not None:
        load_certificate(server_context(), config)
    relay = config.relay_addresses or _own_addresses({one.address.ip for one in listen})
    for address in relay:
        _check_bindable(address)
        _check_reachable(address, config.listen)
    return Places(tuple(dict.fromkeys(listen)), tuple(dict.fromkeys(relay)))


def load_certificate(context: ssl.SSLContext, config: RelayConfig) -> None:
    """Load the certificate into `context`. Raises: UsageError: it cannot be used."""
    if config.tls_cert is None:
        return
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"cannot use the certificate {config.tls_cert}",
            why=str(error),
            hint="Give the chain with --tls-cert and its own private key with --tls-key, in PEM"
            " form and readable by this user",
        ) from error


def _own_addresses(ips: Iterable[str]) -> tuple[RelayAddress, ...]:
    """Return what to relay from where nobody said: of each IP version the most public there is."""
    found = []
    for version in (4, 6):
        own = [a for ip in sorted(ips) if (a := ipaddress.ip_address(ip)).version == version]
        best = [a for a in own if a.is_global] or [a for a in own if not a.is_loopback] or own
        found += [RelayAddress(str(a), str(a)) for a in best]
    return tuple(found)


def _check_bindable(address: RelayAddress) -> None:
    local = TransportAddress(address.ip, 0)
    family = socket.AF_INET6 if local.is_ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(to_socket(local))
    except OSError as error:
        raise UsageError(
            f"cannot relay from {address.ip}",
            why=f"this machine does not have it ({error.strerror})",
            hint=f"Behind a 1:1 NAT write the machine's own first: LOCAL={address.ip}",
        ) from None


def _check_reachable(address: RelayAddress, listen: Iterable[Listen]) -> None:
    """Refuse a relay address that those who can reach the listeners cannot."""
    advertised = ipaddress.ip_address(address.advertised)
    if address.told or advertised.is_global:
        return
    within = [ipaddress.ip_address(one.address.ip) for one in listen]
    if all(not ip.is_unspecified and not ip.is_global for ip in within):
        return  # nobody from outside comes here anyway
    raise UsageError(
        f"--relay-address {address.ip} is private",
        why="peers outside cannot reach it",
        hint=f"Give the public one as well: {address.ip}=203.0.113.7; or, for this network alone,"
        f" {address.ip}={address.ip}",
    )


def _bound(one: Listen, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if one.address.is_ipv6 else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if one.address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        elif sys.platform != "win32":  # there it would let another program take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(to_socket(one.address))
    except OSError as error:
        sock.close()
        raise NetworkUnreachable(
            f"cannot listen on {one}",
            why=error.strerror,
            hint="See who does: ss -lunpt" if sys.platform == "linux" else None,
        ) from None
    return sock


def _nonce_key(config: RelayConfig) -> bytes:
    """Return a key that servers which share their first secret share as well."""
    if config.secrets:
        return hmac.digest(config.secrets[0].encode(), b"natkit nonce key", hashlib.sha256)
    return secrets.token_bytes(32)


def _uri(one: Listen) -> str:
    scheme = "turns" if one.transport in (Transport.TLS, Transport.DTLS) else "turn"
    carrier = "tcp" if one.transport.is_stream else "udp"
    return f"{scheme}:{one.address}?transport={carrier}"


_RELOADED = {
    "users": "users",
    "secrets": "secrets",
    "allow_peer": "--allow-peer",
    "deny_peer": "--deny-peer",
    "user_quota": "--user-quota",
    "total_quota": "--total-quota",
    "max_bps": "--max-bps (for new allocations)",
    "realm": "--realm",
    "drain": "--drain-time",
    "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
}
_RESTARTED = {
    "listen": "--listen",
    "relay_addresses": "--relay-address",
    "relay_ports": "--relay-ports",
    "metrics": "--metrics",
}


def _differences(old: RelayConfig, new: RelayConfig) -> tuple[str, ...]:
    changed = [words for name, words in _RELOADED.items() if _differ(old, new, name)]
    kept = [words for name, words in _RESTARTED.items() if _differ(old, new, name)]
    return (*changed, *(f"{words} changed, which needs a restart" for words in kept))


def _differ(old: RelayConfig, new: RelayConfig, name: str) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
