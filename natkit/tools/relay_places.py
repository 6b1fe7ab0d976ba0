"""Where a relay listens and relays from on this machine, and whether that can work."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_link import MOST_DESCRIPTORS
from natkit.aio.turn_ports import RelayAddress
from natkit.aio.turn_tls import server_context
from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.errors import NetworkUnreachable, UsageError
from natkit.stun.server import Site
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_discovery import discovery_sites
from natkit.tools.relay_options import Listen
from natkit.tools.stun_serve import expanded
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

_BUFFER = 4 << 20
"""Bytes that a listener's socket may buffer: all clients share it. Linux grants what
net.core.rmem_max allows."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a server listens and relays from, every wildcard replaced by what is behind it.

    Attributes: sites: where RFC 5780 is spoken; their endpoints are listened on as well.
    """

    listen: tuple[Listen, ...]
    relay: tuple[RelayAddress, ...]
    sites: tuple[Site, ...] = ()


def check(network: SocketNetwork, config: RelayConfig) -> Places:
    """Return where this configuration listens and relays on this machine.

    Raises: UsageError: it cannot work here.
    """
    if config.workers > 1 and sys.platform != "linux":
        raise UsageError(
            "--workers needs Linux", why="elsewhere clients of one port reach one process alone"
        )
    listen = []
    for one in config.listen:
        listen += [
            Listen(one.transport, at) for at in expanded(network, [one.address], loopback=True)
        ]
    if not listen:
        raise UsageError("no address to listen on", hint="Give --listen udp://IP:PORT")
    if config.tls_cert is not None:
        load_certificate(server_context(), config)
    if any(one.transport is Transport.DTLS for one in listen) and find_spec("OpenSSL") is None:
        raise UsageError("DTLS needs pyOpenSSL", hint="Install it: pip install 'natkit[server]'")
    own = {one.address.ip for one in listen} - set(config.anycast)
    relay = config.relay_addresses or _own_addresses(own)
    if not relay:
        raise UsageError(
            "every address to listen on is anycast", hint="Listen on this server's own as well"
        )
    for address in relay:
        _check_bindable(address)
        _check_reachable(address, config.listen)
    sites = discovery_sites(network, config)
    listen += [Listen(Transport.UDP, at) for site in sites for at in site.endpoints()]
    _check_descriptors(listen, config.workers)
    return Places(tuple(dict.fromkeys(listen)), tuple(dict.fromkeys(relay)), sites)


def _check_descriptors(listen: Iterable[Listen], workers: int) -> None:
    """Refuse more listeners than a worker can be handed, beside its links with the others."""
    listeners = len({(one.address, one.transport.is_stream) for one in listen})
    if workers > 1 and workers + listeners > MOST_DESCRIPTORS:
        raise UsageError(
            f"{listeners} listeners are too many for {workers} workers",
            why=f"a worker is handed {MOST_DESCRIPTORS - workers} at the most",
            hint="Name the addresses to listen on with --listen, or give fewer --workers",
        )


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


def file_times(config: RelayConfig) -> tuple[float, ...]:
    """Return when the files of the certificate were last written; those that are not there: 0."""
    files = [file for file in (config.tls_cert, config.tls_key) if file is not None]
    return tuple(file.stat().st_mtime if file.exists() else 0.0 for file in files)


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
        if error.errno == errno.EMFILE:
            raise  # it says nothing of the address
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


class Opening(NamedTuple):
    """An address that clients come to, bound once for every worker.

    Attributes: kinds: what is spoken there: all of them over streams, or all over datagrams.
    """

    kinds: frozenset[Transport]
    address: TransportAddress
    sockets: tuple[socket.socket, ...]

    @property
    def is_stream(self) -> bool:
        """True for TCP."""
        return next(iter(self.kinds)).is_stream

    @property
    def listening(self) -> tuple[Listen, ...]:
        """What is spoken there, with the real port."""
        return tuple(Listen(kind, self.address) for kind in sorted(self.kinds, key=str))


def open_listeners(listen: Iterable[Listen], workers: int) -> tuple[Opening, ...]:
    """Bind every address that clients come to. Raises: NetworkUnreachable: one cannot be bound."""
    asked: dict[tuple[TransportAddress, bool], set[Transport]] = defaultdict(set)
    for one in listen:
        asked[one.address, one.transport.is_stream].add(one.transport)
    openings: list[Opening] = []
    try:
        for (address, is_stream), kinds in asked.items():
            openings.append(_opened(address, frozenset(kinds), is_stream, workers))
    except BaseException:
        close_listeners(openings)
        raise
    return tuple(openings)


def close_listeners(openings: Iterable[Opening]) -> None:
    """Close the sockets of `open_listeners`."""
    for opening in openings:
        for sock in opening.sockets:
            sock.close()


def _opened(
    address: TransportAddress, kinds: frozenset[Transport], is_stream: bool, workers: int
) -> Opening:
    kind = socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM
    name = min(kinds, key=str)
    alone = bound(Listen(name, address), kind)
    real = from_socket(alone.getsockname())  # where port 0 was asked for
    if workers == 1:
        return Opening(kinds, real, (alone,))
    # That it could be bound alone shows that no other server is there, to share clients with.
    alone.close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(workers):
            sockets.append(bound(Listen(name, real), kind, shared=True))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return Opening(kinds, real, tuple(sockets))


def bound(one: Listen, kind: socket.SocketKind, *, shared: bool = False) -> socket.socket:
    """Return a socket bound to a listening address.

    Args:   shared: others may be bound to it as well; the kernel spreads clients over them.
    Raises: NetworkUnreachable: it cannot be bound.
    """
    family = socket.AF_INET6 if one.address.is_ipv6 else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if one.address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if shared and sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # On Windows it would let another program take the port over.
        if kind is socket.SOCK_STREAM and sys.platform != "win32":
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
