"""Be a TURN server: everything that `natkit turn serve` runs, for whoever wants it in a program."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_http import serve_pages
from natkit.aio.turn_report import Live, Report
from natkit.aio.turn_tls import server_context
from natkit.aio.turn_users import LookUp
from natkit.errors import NetworkUnreachable, UsageError
from natkit.tools.relay_config import (
    RelayConfig,
    differences,
    read_config,
    without_restart,
)
from natkit.tools.relay_fast_path import (
    Chosen,
    FastPathMode,
    check_fast_path,
    open_fast_path,
)
from natkit.tools.relay_options import Listen, Options
from natkit.tools.relay_pages import OwnerPages
from natkit.tools.relay_places import (
    Opening,
    Places,
    check,
    close_listeners,
    file_times,
    load_certificate,
    open_listeners,
)
from natkit.tools.relay_worker import Part, Worker
from natkit.turn.forwarding import Transport

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import FastTable


class Workforce(Protocol):
    """Who serves the clients: a worker in this process, or a crew of processes.

    Attributes: idle: set while there is no allocation.
    """

    idle: asyncio.Event

    @property
    def allocations(self) -> int:
        """How many there are."""

    async def open(self) -> None:
        """Begin to serve. Raises: NatkitError: it cannot."""

    def reload(self, config: RelayConfig) -> None:
        """Go on with another configuration. Raises: UsageError."""

    def drain(self) -> None:
        """Make no more allocations."""

    async def live(self) -> Live:
        """Return what there is now."""

    async def close(self) -> None:
        """Stop serving."""


class Alone:
    """A workforce of one worker, in this process."""

    def __init__(
        self,
        part: Part,
        openings: tuple[Opening, ...],
        report: Callable[[Report], None],
        look_up: LookUp | None,
        table: FastTable | None,
    ) -> None:
        self.worker = Worker(part, report, look_up=look_up, table=table)
        self.idle = self.worker.service.sessions.idle
        self._doors = [(opening.kinds, opening.sockets[0]) for opening in openings]

    @property
    def allocations(self) -> int:
        """How many there are."""
        return len(self.worker.service.sessions)

    async def open(self) -> None:
        """Begin to serve."""
        await self.worker.open(self._doors)

    def reload(self, config: RelayConfig) -> None:
        """Go on with another configuration."""
        self.worker.reload(config)

    def drain(self) -> None:
        """Make no more allocations."""
        self.worker.drain()

    async def live(self) -> Live:
        """Return what there is now."""
        return self.worker.live()

    async def close(self) -> None:
        """Stop serving."""
        await self.worker.close()


class Relay:
    """A running TURN server. Made by `serve`; `close` it when done.

    Attributes:
        config:    what it runs with.
        listening: every transport and address it answers on, with the real ports.
        warnings:  what does not work, though calls do.
        draining:  it makes no more allocations.
        workforce: who serves the clients.
        fast_path: whether the kernel forwards, and if not, why.
    """

    workforce: Workforce

    def __init__(
        self, config: RelayConfig, openings: tuple[Opening, ...], report: Callable[[Report], None]
    ) -> None:
        self.config = config
        self.listening = tuple(one for opening in openings for one in opening.listening)
        self.warnings: list[str] = []
        self.draining = False
        self.fast_path = Chosen(None)
        self._openings = openings
        self._watching: asyncio.Server | None = None
        self._certificate_times = file_times(config)
        self.pages = OwnerPages(self, config.realm, report)

    @property
    def uris(self) -> tuple[str, ...]:
        """What clients may be given."""
        return client_uris(self.listening)

    @property
    def allocations(self) -> int:
        """How many there are."""
        return self.workforce.allocations

    async def open(self) -> None:
        """Serve clients, and metrics and health where that is wanted.

        Raises: NatkitError: it cannot.
        """
        await self.workforce.open()
        address, told = self.config.metrics
        if address is None:
            return
        try:
            self._watching = await serve_pages(self.pages.pages(), address)
        except NetworkUnreachable as error:
            if told:
                raise
            self.warnings.append(str(error))

    async def live(self) -> Live:
        """Return what there is now, and was carried up to now."""
        return await self.workforce.live()

    def drain(self) -> None:
        """Make no more allocations; those there are go on."""
        self.draining = True
        self.workforce.drain()

    async def drained(self) -> None:
        """Wait until the last allocation has ended, or the limit has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain):
                await self.live()  # by then all workers have said what they have
                await self.workforce.idle.wait()

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        if self._watching is not None:
            self._watching.close()
        await self.workforce.close()
        self.fast_path.put_back()
        close_listeners(self._openings)

    def reload(self, config: RelayConfig) -> tuple[str, ...]:
        """Go on with other users, secrets, certificates, limits and lists; calls go on.

        Returns: what has changed, in words, what needs a restart included.
        Raises:  UsageError: the certificate cannot be used; nothing has changed then.
        """
        times = file_times(config)
        load_certificate(server_context(), config)
        changes = differences(self.config, config)
        possible = without_restart(self.config, config)
        self.workforce.reload(possible)
        self.config, self._certificate_times = possible, times
        return changes

    def renew_certificate(self) -> bool:
        """Take the certificate's files again if they have changed since; True: they had.

        Raises: UsageError: the new one cannot be used; the old one goes on.
        """
        if file_times(self.config) == self._certificate_times:
            return False
        self.reload(self.config)
        return True


async def serve(
    network: SocketNetwork,
    config: RelayConfig,
    report: Callable[[Report], None],
    look_up: LookUp | None = None,
) -> Relay:
    """Run a TURN server.

    Args:   report: hears of sessions and refusals.
            look_up: knows users besides those of `config`; for one worker.
    Raises: UsageError:         the configuration cannot work on this machine.
            NetworkUnreachable: an address cannot be bound.
    """
    if look_up is not None and config.workers > 1:
        raise UsageError(
            "a look-up of users needs one worker", why="the other processes cannot call it"
        )
    places = check(network, config)
    openings = open_listeners(places.listen, config.workers)
    relay = Relay(config, openings, report)
    try:
        relay.fast_path = open_fast_path(network, config.fast_path, _addresses(places))
        relay.workforce = _workforce(relay, places, openings, look_up)
    except BaseException:
        relay.fast_path.put_back()
        close_listeners(openings)
        raise
    try:
        await relay.open()
    except BaseException:
        await relay.close()
        raise
    return relay


def would_start(network: SocketNetwork, config: RelayConfig) -> str | None:
    """Find out whether `serve` would run with this configuration; nothing is opened.

    Whether ports are free is not looked at: the server that runs has them.

    Returns: in one line why the kernel would not forward, where "auto" goes on without; else None.
    Raises:  NatkitError: it would not.
    """
    places = check(network, config)
    why_not = check_fast_path(network, config.fast_path, _addresses(places))
    return why_not if config.fast_path.mode is FastPathMode.AUTO else None


async def serve_relay(options: Options, report: Callable[[Report], None]) -> Relay:
    """Run a TURN server in this program, on this machine's network.

    Args:   options: as `natkit turn serve` has them: {"secret": "…", "listen": ["udp://[::]"]}.
            report:  hears of sessions and refusals.
    Raises: UsageError:         an option makes no sense, or cannot work on this machine.
            NetworkUnreachable: an address cannot be bound.
    """
    return await serve(SocketNetwork(), read_config(options), report)


def _workforce(
    relay: Relay, places: Places, openings: tuple[Opening, ...], look_up: LookUp | None
) -> Workforce:
    part = Part(relay.config, places, relay.listening, _nonce_key(relay.config))
    if part.workers == 1:
        return Alone(part, openings, relay.pages.heard, look_up, relay.fast_path.table)
    from natkit.tools.relay_crew import Crew  # for Linux alone

    return Crew(part, openings, relay.pages.heard, relay.fast_path.table)


def _addresses(places: Places) -> list[str]:
    """Return where packets of calls come in."""
    return [*(one.address.ip for one in places.listen), *(one.ip for one in places.relay)]


def _nonce_key(config: RelayConfig) -> bytes:
    """Return a key that servers which share their first secret share as well."""
    if config.secrets:
        return hmac.digest(config.secrets[0].encode(), b"natkit nonce key", hashlib.sha256)
    return secrets.token_bytes(32)


def client_uris(listening: Sequence[Listen]) -> tuple[str, ...]:
    """Return the URIs of these listeners; those on loopback lead no client here from elsewhere, and
    count where there are no others.
    """
    open_to_all = [it for it in listening if not ipaddress.ip_address(it.address.ip).is_loopback]
    return tuple(_uri(one) for one in open_to_all or listening)


def _uri(one: Listen) -> str:
    scheme = "turns" if one.transport in (Transport.TLS, Transport.DTLS) else "turn"
    carrier = "tcp" if one.transport.is_stream else "udp"
    return f"{scheme}:{one.address}?transport={carrier}"
