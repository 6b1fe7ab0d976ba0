"""Be a TURN server: everything that `natkit turn serve` runs, for whoever wants it in a program."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_dtls import DtlsCertificate
from natkit.aio.turn_http import serve_pages
from natkit.aio.turn_ports import RelayPorts
from natkit.aio.turn_report import Report
from natkit.aio.turn_server import TurnService
from natkit.aio.turn_tls import server_context
from natkit.aio.turn_users import LookUp
from natkit.dataplane.portable import CAN_SET_DF, PortablePlane
from natkit.dataplane.sockaddr import from_socket
from natkit.errors import NetworkUnreachable, UsageError
from natkit.network import Family
from natkit.tools.relay_config import Listen, RelayConfig, differences
from natkit.tools.relay_pages import OwnerPages
from natkit.tools.relay_places import Places, bound, check, file_times, load_certificate
from natkit.turn.credentials import Credentials
from natkit.turn.forwarding import Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Limits
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import TransportAddress


class Relay:
    """A running TURN server. Made by `serve`; `close` it when done.

    Attributes:
        service: its sessions and counters.
        uris:    what clients may be given.
        config:  what it runs with.
        warnings: what does not work, though calls do.
    """

    def __init__(
        self,
        config: RelayConfig,
        places: Places,
        tls: ssl.SSLContext | None,
        report: Callable[[Report], None],
        look_up: LookUp | None = None,
    ) -> None:
        self._look_up = look_up
        self.warnings: list[str] = []
        self.config = config
        self._tls = tls
        self._nonce_key = _nonce_key(config)
        self._places = places
        self.draining = False
        self._pages: asyncio.Server | None = None
        self._certificate_times = file_times(config)
        self._listening: list[Listen] = []
        loop = asyncio.get_running_loop()
        self._machine = TurnServer(
            self._settings(config),
            randomness=secrets.token_bytes,
            epoch=time.time() - loop.time(),
        )
        ports = RelayPorts(places.relay, config.relay_ports)
        self._owner = OwnerPages(ports, config.realm, report)
        self.service = TurnService(self._machine, ports, self._owner.heard, look_up)
        self._owner.relay = self
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
        asked: dict[tuple[TransportAddress, bool], set[Transport]] = defaultdict(set)
        for one in self._places.listen:
            asked[one.address, one.transport.is_stream].add(one.transport)
        for (address, is_stream), kinds in asked.items():
            named = Listen(min(kinds, key=str), address)
            if is_stream:
                sock = bound(named, socket.SOCK_STREAM)
                local = from_socket(sock.getsockname())
                tls = self._tls if Transport.TLS in kinds else None
                await self.service.accept(sock, tls=tls, plain=Transport.TCP in kinds)
            else:
                sock = bound(named, socket.SOCK_DGRAM)
                local = from_socket(sock.getsockname())
                self._listen(sock, kinds)
            self._listening += [Listen(kind, local) for kind in sorted(kinds, key=str)]
        await self._watch()
        # Only now are the ports known that the policy has to protect.
        self.service.reconfigure(self._settings(self.config))

    def drain(self) -> None:
        """Make no more allocations; those there are go on."""
        self.draining = True
        self.service.drain(None)

    async def drained(self) -> None:
        """Wait until the last allocation has ended, or the limit has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain):
                await self.service.idle.wait()

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        if self._pages is not None:
            self._pages.close()
        await self.service.close()

    def _listen(self, sock: socket.socket, kinds: set[Transport]) -> None:
        dtls = _dtls_certificate(self.config) if Transport.DTLS in kinds else None
        try:
            self.service.listen(sock, dtls=dtls, plain=Transport.UDP in kinds)
        except ImportError:
            raise UsageError(
                "DTLS needs pyOpenSSL", hint="Install it: pip install 'natkit[server]'"
            ) from None

    async def _watch(self) -> None:
        """Serve metrics and health, where that is wanted."""
        address, told = self.config.metrics
        if address is None:
            return
        try:
            self._pages = await serve_pages(self._owner.pages(), address)
        except NetworkUnreachable as error:
            if told:
                raise
            self.warnings.append(str(error))

    def reload(self, config: RelayConfig) -> tuple[str, ...]:
        """Go on with other users, secrets, certificates, limits and lists; calls go on.

        Returns: what has changed, in words, what needs a restart included.
        Raises:  UsageError: the certificate cannot be used; nothing has changed then.
        """
        self._use_certificate(config)
        changes = differences(self.config, config)
        self.config = config
        self.service.reconfigure(self._settings(config))
        plane = self.service.plane
        if isinstance(plane, PortablePlane):
            plane.max_rate = config.max_bps
        return changes

    def renew_certificate(self) -> bool:
        """Take the certificate's files again if they have changed since; True: they had.

        Raises: UsageError: the new one cannot be used; the old one goes on.
        """
        if file_times(self.config) == self._certificate_times:
            return False
        self._use_certificate(self.config)
        return True

    def _use_certificate(self, config: RelayConfig) -> None:
        """Take a certificate for connections from now on. Raises: UsageError: it cannot be used."""
        dtls = _dtls_certificate(config)
        if self._tls is None or dtls is None:
            return
        times = file_times(config)
        load_certificate(server_context(), config)  # the one in use stays whole if this fails
        load_certificate(self._tls, config)
        if any(one.transport is Transport.DTLS for one in self._listening):
            self.service.use_certificate(dtls)
        self._certificate_times = times

    def _settings(self, config: RelayConfig) -> Settings:
        relayed = self._places.relay
        families = {address.family for address in relayed}
        own = {one.address for one in self._listening}
        if config.metrics.address is not None:
            own.add(config.metrics.address)
        return Settings(
            realm=config.realm,
            credentials=Credentials(
                dict(config.users), config.secrets, elsewhere=self._look_up is not None
            ),
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
            sites=self._places.sites,
        )


async def serve(
    network: SocketNetwork,
    config: RelayConfig,
    report: Callable[[Report], None],
    look_up: LookUp | None = None,
) -> Relay:
    """Run a TURN server.

    Args:   report: hears of sessions and refusals.
            look_up: knows users besides those of `config`.
    Raises: UsageError:         the configuration cannot work on this machine.
            NetworkUnreachable: an address cannot be bound.
    """
    places = check(network, config)
    tls = None
    if config.tls_cert is not None:
        tls = server_context()
        load_certificate(tls, config)
    relay = Relay(config, places, tls, report, look_up)
    try:
        await relay.open()
    except BaseException:
        await relay.close()
        raise
    return relay


def _nonce_key(config: RelayConfig) -> bytes:
    """Return a key that servers which share their first secret share as well."""
    if config.secrets:
        return hmac.digest(config.secrets[0].encode(), b"natkit nonce key", hashlib.sha256)
    return secrets.token_bytes(32)


def _dtls_certificate(config: RelayConfig) -> DtlsCertificate | None:
    return None if config.tls_cert is None else DtlsCertificate(config.tls_cert, config.tls_key)


def _uri(one: Listen) -> str:
    scheme = "turns" if one.transport in (Transport.TLS, Transport.DTLS) else "turn"
    carrier = "tcp" if one.transport.is_stream else "udp"
    return f"{scheme}:{one.address}?transport={carrier}"
