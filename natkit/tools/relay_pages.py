"""What a relay tells those who watch it: /metrics, /healthz (it runs), /readyz (it answers)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

from natkit.aio.driver import Driver
from natkit.aio.network import SocketNetwork
from natkit.aio.turn_http import Page, Pages, plain
from natkit.aio.turn_metrics import TurnMetrics
from natkit.aio.turn_report import Live, Report
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.machine import Seconds
from natkit.stun.binding import BindingClient, BindingEvent, BindingSucceeded
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_options import Listen
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

_PATIENCE: Seconds = 2.0
"""How long a Binding to oneself may take; beyond that no client is served well either."""

_INSTALL = "metrics need another package: pip install 'natkit[server]'"


class Watched(Protocol):
    """What the pages ask of a relay."""

    config: RelayConfig
    draining: bool
    listening: tuple[Listen, ...]

    async def live(self) -> Live:
        """Return what there is now."""


class OwnerPages:
    """The pages, and the counts behind them.

    Args:
        relay:  what they are about.
        report: hears everything that `heard` does.
    """

    def __init__(self, relay: Watched, realm: str, report: Callable[[Report], None]) -> None:
        self._relay = relay
        self._report = report
        try:
            self._metrics: TurnMetrics | None = TurnMetrics(realm)
        except ImportError:
            self._metrics = None

    def heard(self, report: Report) -> None:
        """Count what the service reports, and pass it on."""
        if self._metrics is not None:
            self._metrics.count(report)
        self._report(report)

    def pages(self) -> Pages:
        """Return what to answer where."""
        return {
            "/metrics": self._metrics_page,
            "/healthz": self._health,
            "/readyz": self._readiness,
        }

    async def _metrics_page(self) -> Page:
        if self._metrics is None:
            return plain(503, _INSTALL)
        text = self._metrics.text(await self._relay.live())
        return Page(200, "text/plain; version=0.0.4; charset=utf-8", text)

    async def _health(self) -> Page:
        return plain(200, "alive")

    async def _readiness(self) -> Page:
        """Ask our own first UDP listener for a Binding, through the sockets that clients use."""
        if self._relay.draining:
            return plain(503, "draining: no new allocations")
        workers, wanted = (await self._relay.live()).workers, self._relay.config.workers
        if workers < wanted:
            return plain(503, f"{workers} of {wanted} workers answer")
        udp = [one.address for one in self._relay.listening if one.transport is Transport.UDP]
        streams = [one.address for one in self._relay.listening if one.transport.is_stream]
        try:
            if udp:
                await _bind(udp[0])
            elif streams:
                stream = await SocketNetwork().open_stream(streams[0], patience=_PATIENCE)
                await stream.close()
        except NatkitError as error:
            return plain(503, str(error))
        return plain(200, "ready")


async def _bind(server: TransportAddress) -> None:
    """Do one Binding with `server`. Raises: NetworkUnreachable: it did not answer."""
    heard: asyncio.Queue[BindingEvent] = asyncio.Queue()
    machine = BindingClient(lambda: secrets.token_bytes(12))
    network = SocketNetwork()
    driver = await Driver.open(
        network,
        machine,
        local=TransportAddress(server.ip, 0),
        on_event=heard.put_nowait,
    )
    try:
        machine.ask(server, now=network.now())
        driver.kick()
        async with asyncio.timeout(_PATIENCE):
            event = await heard.get()
    except TimeoutError:
        raise NetworkUnreachable(f"no answer from {server} in {_PATIENCE:g} s") from None
    finally:
        driver.close()
    if not isinstance(event, BindingSucceeded):
        raise NetworkUnreachable(f"{server} does not answer Binding requests")
