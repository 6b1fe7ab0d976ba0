"""One worker of a TURN server: all that serves clients, in one process."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from natkit.aio.turn_dtls import DtlsCertificate
from natkit.aio.turn_ports import RelayPorts, share_of
from natkit.aio.turn_report import Live, Report
from natkit.aio.turn_server import TurnService
from natkit.aio.turn_tls import server_context
from natkit.aio.turn_users import LookUp
from natkit.dataplane.neighbours import Neighbours
from natkit.dataplane.portable import CAN_SET_DF, PortablePlane
from natkit.dataplane.rates import UserLimits
from natkit.network import Family
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_options import Listen
from natkit.tools.relay_places import Places, load_certificate
from natkit.turn.credentials import Credentials
from natkit.turn.forwarding import Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Ledger, Limits
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import Entries


class Accounts(Ledger, UserLimits, Protocol):
    """What the workers of a server share."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker is of a server.

    Attributes:
        places:    where it relays from, and speaks RFC 5780.
        listening: what all workers answer on.
        nonce_key: signs nonces and tickets of all of them.
        number:    0 .. workers - 1.
    """

    config: RelayConfig
    places: Places
    listening: tuple[Listen, ...]
    nonce_key: bytes
    number: int = 0

    @property
    def workers(self) -> int:
        """How many there are."""
        return self.config.workers


class Worker:
    """A running worker. `open` it, and `close` it when done.

    Args:
        report:   hears of sessions and refusals.
        look_up:  knows users besides those of the configuration.
        accounts: what the workers of a server share; None: there is one worker.
        siblings: links with the other ones, by number.
        table:    forwards in the kernel; None: the portable way alone. Owned.
    """

    def __init__(
        self,
        part: Part,
        report: Callable[[Report], None],
        *,
        look_up: LookUp | None = None,
        accounts: Accounts | None = None,
        siblings: Mapping[int, socket.socket] | None = None,
        table: Entries | None = None,
    ) -> None:
        self._part = part
        self._elsewhere = look_up is not None
        self._tls: ssl.SSLContext | None = None
        config = part.config
        machine = TurnServer(
            self._settings(config),
            randomness=secrets.token_bytes,
            epoch=time.time() - asyncio.get_running_loop().time(),
            ledger=accounts,
        )
        relay = part.places.relay
        ports = RelayPorts(relay, share_of(config.relay_ports, part.number, part.workers))
        self.service = TurnService(machine, ports, report, look_up)
        neighbours = Neighbours({one.ip: one.advertised for one in relay}, config.relay_ports)
        if table is None:
            plane = PortablePlane(self.service, neighbours=neighbours, users=accounts)
        else:
            from natkit.dataplane.kernel.plane import KernelPlane  # for Linux alone

            plane = KernelPlane(self.service, table, neighbours=neighbours, users=accounts)
        self._plane = self.service.plane = plane
        self._limit_rates(config)
        if siblings:
            self.service.join_siblings(siblings)

    async def open(self, doors: Sequence[tuple[frozenset[Transport], socket.socket]]) -> None:
        """Serve clients on sockets, each with what is spoken there.

        Raises: UsageError: the certificate cannot be used, or DTLS needs a library.
        """
        config = self._part.config
        if config.tls_cert is not None:
            self._tls = server_context()
            load_certificate(self._tls, config)
        for kinds, sock in doors:
            if next(iter(kinds)).is_stream:
                tls = self._tls if Transport.TLS in kinds else None
                await self.service.accept(sock, tls=tls, plain=Transport.TCP in kinds)
            else:
                self._listen(sock, kinds)

    def reload(self, config: RelayConfig) -> None:
        """Go on with another configuration.

        Raises: UsageError: the certificate cannot be used; nothing has changed then.
        """
        dtls = _dtls_certificate(config)
        if self._tls is not None and dtls is not None:
            load_certificate(server_context(), config)  # the one in use stays whole if this fails
            load_certificate(self._tls, config)
            if any(one.transport is Transport.DTLS for one in self._part.listening):
                self.service.use_certificate(dtls)
        self._part = replace(self._part, config=config)
        self.service.reconfigure(self._settings(config))
        self._limit_rates(config)

    def drain(self) -> None:
        """Make no more allocations; those there are go on."""
        self.service.drain(self._part.config.alternate_servers)

    def live(self) -> Live:
        """Return what there is now."""
        return self.service.live()

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        await self.service.close()

    def _listen(self, sock: socket.socket, kinds: frozenset[Transport]) -> None:
        dtls = _dtls_certificate(self._part.config) if Transport.DTLS in kinds else None
        self.service.listen(sock, dtls=dtls, plain=Transport.UDP in kinds)

    def _limit_rates(self, config: RelayConfig) -> None:
        self._plane.max_rate, self._plane.max_user_rate = config.max_bps, config.user_max_bps

    def _settings(self, config: RelayConfig) -> Settings:
        part, relayed = self._part, self._part.places.relay
        families = {address.family for address in relayed}
        own = {one.address for one in part.listening}
        if config.metrics.address is not None:
            own.add(config.metrics.address)
        return Settings(
            realm=config.realm,
            credentials=Credentials(dict(config.users), config.secrets, elsewhere=self._elsewhere),
            nonce_key=part.nonce_key,
            policy=PeerPolicy(
                allow=config.allow_peer,
                deny=config.deny_peer,
                own=frozenset(own),
                relayed=frozenset(address.advertised for address in relayed),
                relay_ports=config.relay_ports,
            ),
            limits=_limits(config, part.workers),
            families=tuple(family for family in Family if family in families),
            dont_fragment=CAN_SET_DF,
            sites=part.places.sites,
            anycast=config.anycast,
            worker=part.number,
            workers=part.workers,
        )


def _limits(config: RelayConfig, workers: int) -> Limits:
    """Return the limits of one worker: quotas hold over all, the rate of answers is divided."""
    limits = Limits(allocations_per_user=config.user_quota, allocations=config.total_quota)
    answers = limits.unauthorized_per_second
    if answers is None:
        return limits
    return replace(limits, unauthorized_per_second=max(1, answers // workers))


def _dtls_certificate(config: RelayConfig) -> DtlsCertificate | None:
    return None if config.tls_cert is None else DtlsCertificate(config.tls_cert, config.tls_key)
