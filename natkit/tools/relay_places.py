"""Where a relay listens and relays from on this machine, and whether that can work."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_ports import RelayAddress
from natkit.aio.turn_tls import server_context
from natkit.dataplane.sockaddr import to_socket
from natkit.errors import NetworkUnreachable, UsageError
from natkit.stun.server import Site
from natkit.tools.relay_config import Listen, RelayConfig
from natkit.tools.relay_discovery import discovery_sites
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
    sites = discovery_sites(network, config)
    listen += [Listen(Transport.UDP, at) for site in sites for at in site.endpoints()]
    return Places(tuple(dict.fromkeys(listen)), tuple(dict.fromkeys(relay)), sites)


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


def bound(one: Listen, kind: socket.SocketKind) -> socket.socket:
    """Return a socket bound to a listening address. Raises: NetworkUnreachable: it cannot be."""
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


def room_for_sockets() -> None:
    """Let this process open as many descriptors as it may: each allocation takes one, and the
    usual limit is 1024.
    """
    if sys.platform == "win32":  # it has no such limit
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower one of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
