"""Be a STUN server: Binding over UDP, TCP and TLS on this network's addresses."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from natkit.aio.listener import Listener
from natkit.aio.network import SocketNetwork
from natkit.aio.stun_server import BindingService, serve_binding
from natkit.aio.stun_stream import answer_stream
from natkit.errors import UsageError
from natkit.network import Network
from natkit.stun.uri import Transport
from natkit.wire import TransportAddress

WILDCARDS = {"0.0.0.0": False, "::": True}
"""What people write for "every address", and whether it is IPv6."""


class StunService:
    """A running server. Close it when done."""

    def __init__(self) -> None:
        self._datagrams: list[BindingService] = []
        self._streams: list[tuple[Transport, Listener]] = []

    @property
    def listening(self) -> tuple[tuple[Transport, TransportAddress], ...]:
        """Every transport and address it answers on, with the real ports."""
        udp = [(Transport.UDP, at) for service in self._datagrams for at in service.listening]
        return (*udp, *((kind, listener.local) for kind, listener in self._streams))

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        for datagrams in self._datagrams:
            datagrams.close()
        for _, listener in self._streams:
            await listener.stop()

    async def open(
        self,
        network: SocketNetwork,
        groups: Iterable[tuple[Sequence[str], Sequence[int]]],
        *,
        rfc5780: bool,
        tls: ssl.SSLContext | None,
        tls_port: int,
    ) -> None:
        """Listen on each group's addresses with each of its ports. Raises: as `serve` says."""
        for ips, ports in groups:
            udp = await serve_binding(network, ips, ports, rfc5780=rfc5780)
            self._datagrams.append(udp)
            for address in udp.listening:
                await self._listen(network, Transport.TCP, address, None)
        if tls is not None:
            for ip in dict.fromkeys(at.ip for udp in self._datagrams for at in udp.listening):
                await self._listen(network, Transport.TLS, TransportAddress(ip, tls_port), tls)

    async def _listen(
        self,
        network: SocketNetwork,
        kind: Transport,
        address: TransportAddress,
        tls: ssl.SSLContext | None,
    ) -> None:
        listener = await network.listen_stream(answer_stream, local=address, tls=tls)
        self._streams.append((kind, listener))


async def serve(
    network: SocketNetwork,
    listen: Sequence[TransportAddress],
    *,
    alternate_port: int | None = None,
    tls: ssl.SSLContext | None = None,
    tls_port: int = Transport.TLS.port,
) -> StunService:
    """Answer Binding requests over UDP and TCP on `listen`, and over TLS where `tls` is given.

    Args:
        listen:         addresses; a wildcard stands for every address of this network. Each is
                        bound by itself, so that replies leave from the one that was asked.
        alternate_port: speak RFC 5780 with this second port; None: answer minimally.
        tls:            a server context, see `server_context`.
    Raises: UsageError: RFC 5780 cannot use these addresses.
            NetworkUnreachable: one of them cannot be bound.
    """
    # A client elsewhere would be sent to a loopback address by OTHER-ADDRESS.
    addresses = expanded(network, listen, loopback=alternate_port is None)
    groups = (
        [((at.ip,), (at.port,)) for at in addresses]
        if alternate_port is None
        else [site_of(addresses, alternate_port)]
    )
    service = StunService()
    try:
        await service.open(
            network, groups, rfc5780=alternate_port is not None, tls=tls, tls_port=tls_port
        )
    except BaseException:
        await service.close()
        raise
    return service


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return a TLS 1.2+ server context.

    Args:
        certificate: PEM file with the certificate chain.
        key:         PEM file with its private key; None: it is in the same file.
    Raises: UsageError: they cannot be read, or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"cannot use the certificate {certificate}",
            why=str(error),
            hint="Give the chain and its private key in PEM form",
        ) from error
    return context


def expanded(
    network: Network, listen: Sequence[TransportAddress], *, loopback: bool
) -> list[TransportAddress]:
    """Replace each wildcard by the addresses behind it, link-local ones left out.

    Args: loopback: wildcards stand for loopback addresses, too.
    """
    found: list[TransportAddress] = []
    for at in listen:
        if at.ip not in WILDCARDS:
            found.append(at)
            continue
        ips = [i.ip for i in network.interfaces() if (":" in i.ip) == WILDCARDS[at.ip]]
        wanted = (ip for ip in ips if not ip.startswith("fe80:") and (loopback or not _local(ip)))
        found += (at._replace(ip=ip) for ip in wanted)
    return list(dict.fromkeys(found))


def site_of(addresses: Sequence[TransportAddress], alternate: int) -> tuple[list[str], list[int]]:
    """Return the IPs and the two ports that RFC 5780 combines. Raises: UsageError: it cannot."""
    ports = sorted({at.port for at in addresses})
    if len(ports) != 1:
        listed = ", ".join(map(str, ports)) or "none"
        raise UsageError("RFC 5780 takes one main port for all addresses", why=f"given: {listed}")
    ips = [at.ip for at in addresses]
    for ipv6 in (False, True):
        if len({_local(ip) for ip in ips if (":" in ip) == ipv6}) > 1:
            raise UsageError(
                "RFC 5780 cannot use a loopback address beside another one",
                why="nobody who reaches the one reaches both",
            )
    return ips, [*ports, alternate]


def _local(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback
