"""Ask one STUN server what address it sees, over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from natkit.aio.driver import Driver
from natkit.aio.stun_stream import ask_over_stream
from natkit.errors import (
    AuthenticationFailed,
    NatkitError,
    NetworkUnreachable,
    UsageError,
)
from natkit.machine import Seconds
from natkit.network import Family, Network, Tls
from natkit.stun.binding import (
    BindingClient,
    BindingEvent,
    BindingFailed,
    BindingSucceeded,
    BindingTimedOut,
    BindingUnreachable,
)
from natkit.stun.transaction import UNRELIABLE
from natkit.stun.uri import StunUri, Transport
from natkit.tools.places import BOTH_FAMILIES, Randomness, SrvLookup, places
from natkit.wire import TransportAddress

T = TypeVar("T")

ATTEMPT_DELAY: Seconds = 0.25
"""How long one address has before the next is tried as well (RFC 8305 §8 recommends 250 ms)."""


@dataclass(frozen=True, slots=True)
class QueryReport:
    """What a server answered.

    Attributes:
        uri:     what was asked for.
        server:  the address that answered, as it was asked.
        local:   where the request left from, before any NAT; None: unknown.
        answer:  what the answer said.
        elapsed: seconds from the start, name look-ups included.
    """

    uri: StunUri
    server: TransportAddress
    local: TransportAddress | None
    answer: BindingSucceeded
    elapsed: Seconds


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe over TLS; the fields are those of `natkit.network.Tls`."""

    verify: bool = True
    ca_file: str | None = None


async def query(
    network: Network,
    uri: StunUri,
    *,
    randomness: Randomness,
    families: Sequence[Family] = BOTH_FAMILIES,
    patience: Seconds = UNRELIABLE.patience,
    look_up_srv: SrvLookup | None = None,
    trust: Trust = Trust(),
) -> QueryReport:
    """Send a Binding request and wait for the answer.

    Every address of the server gets its chance, the next one as soon as the one before has failed
    or stayed silent for ATTEMPT_DELAY; the first answer wins.

    Args:
        randomness:  returns that many unpredictable bytes.
        families:    IP versions to try, in this order.
        patience:    seconds to wait for an answer from any one address, > 0.
        look_up_srv: finds SRV records by name; None: this network has no DNS.
    Raises: NetworkUnreachable:   no address, no answer, or nobody listens there.
            AuthenticationFailed: the server wants credentials.
            NatkitError:          it refused for another reason.
    """
    began = network.now()
    servers = await places(
        network,
        uri.host,
        uri.port,
        default=uri.transport.port,
        service=uri.transport.srv,
        families=families,
        randomness=randomness,
        look_up_srv=look_up_srv,
    )
    if not servers:
        raise _no_address(uri, families)
    asker = _Asker(network, uri, randomness, patience, trust)
    server, local, answer = await _first(asker.ask, servers)
    return QueryReport(uri, server, local, answer, network.now() - began)


def _no_address(uri: StunUri, families: Sequence[Family]) -> NatkitError:
    if uri.is_literal:  # of the other IP version, then
        asked = " or ".join(f"IPv{family:d}" for family in families)
        return UsageError(f"{uri.host} is not an {asked} address")
    return NetworkUnreachable(
        f"found no address for {uri.host}", hint="Check the name, and that DNS works here"
    )


@dataclass(frozen=True, slots=True)
class _Asker:
    """One query, to whichever address."""

    network: Network
    uri: StunUri
    randomness: Randomness
    patience: Seconds
    trust: Trust

    async def ask(
        self, server: TransportAddress
    ) -> tuple[TransportAddress, TransportAddress | None, BindingSucceeded]:
        """Ask `server`; see `query` for what it raises."""
        over_udp = self.uri.transport is Transport.UDP
        local, event = await (self._over_udp(server) if over_udp else self._over_stream(server))
        return server, local, _success(event, self.patience)

    async def _over_udp(
        self, server: TransportAddress
    ) -> tuple[TransportAddress | None, BindingEvent]:
        source = self.network.source_for(server)
        if source is None:
            raise NetworkUnreachable(f"no route to {server.ip}")
        ended: asyncio.Queue[BindingEvent] = asyncio.Queue()
        schedule = UNRELIABLE.within(self.patience)
        machine = BindingClient(lambda: self.randomness(12), schedule)
        driver = await Driver.open(
            self.network,
            machine,
            family=Family.IPV6 if server.is_ipv6 else Family.IPV4,
            on_event=ended.put_nowait,
            on_error=machine.error_received,
        )
        try:
            machine.ask(server, now=self.network.now())
            driver.kick()
            return TransportAddress(source, driver.endpoint.local.port), await ended.get()
        finally:
            driver.close()

    async def _over_stream(
        self, server: TransportAddress
    ) -> tuple[TransportAddress | None, BindingEvent]:
        tls = None
        if self.uri.transport is Transport.TLS:
            tls = Tls(self.uri.host, self.trust.verify, self.trust.ca_file)
        stream = await self.network.open_stream(server, tls=tls, patience=self.patience)
        try:
            event = await ask_over_stream(
                self.network,
                stream,
                transaction_id=lambda: self.randomness(12),
                patience=self.patience,
            )
            return stream.local, event
        finally:
            await stream.close()


def _success(event: BindingEvent, patience: Seconds) -> BindingSucceeded:
    """Return the event if it is a success. Raises: as `query` says."""
    match event:
        case BindingSucceeded():
            return event
        case BindingTimedOut(server=server):
            raise NetworkUnreachable(
                f"no answer from {server} in {patience:g} s",
                hint="Is it a STUN server, and does a firewall here let this traffic out?",
            )
        case BindingUnreachable(server=server, error=error):
            by = f", says {error.reporter}" if error.reporter else ""
            raise NetworkUnreachable(f"nobody listens on {server}{by}")
        case BindingFailed():
            raise _refusal(event)


def _refusal(event: BindingFailed) -> NatkitError:
    if event.code is None:
        return NatkitError(f"{event.server} answered, but {event.reason}")
    what = f"{event.server} refused with error {event.code}"
    if event.code == 401:
        return AuthenticationFailed(what, why=event.reason or None, hint="It wants credentials")
    hint = f"It says to ask {event.alternate} instead" if event.alternate else None
    return NatkitError(what, why=event.reason or None, hint=hint)


async def _first(
    ask: Callable[[TransportAddress], Awaitable[T]], servers: Sequence[TransportAddress]
) -> T:
    """Ask one server after the other and return the first result.

    Raises: NatkitError: what the first one to be asked said, if all of them failed.
    """
    waiting = list(enumerate(servers))
    running: dict[asyncio.Future[T], int] = {}
    failures: dict[int, BaseException] = {}
    try:
        while waiting or running:
            if waiting:
                place, server = waiting.pop(0)
                running[asyncio.ensure_future(ask(server))] = place
            done, _ = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                place = running.pop(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                failures[place] = failure
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    raise failures[min(failures)]
