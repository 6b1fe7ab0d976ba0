"""Find out whether a TURN server relays, over every transport, and what is wrong where it does not.

Each transport goes through the steps of a call: resolve, connect, allocate, permit, a packet
through the relay to itself (as between two clients on it), and one between the relay and a plain
socket here (as with a peer that needs no relay). A step that fails ends those that need it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from natkit.aio.turn_client import Randomness, RelayedEndpoint, allocate
from natkit.aio.turn_failure import Server
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import Family, Network, Tls
from natkit.stun.uri import StunUri
from natkit.stun.uri import Transport as StunTransport
from natkit.tools.places import SrvLookup, server_places
from natkit.tools.stun import Trust, query
from natkit.tools.turn_path import Crossing, Inbox, Outside, cross
from natkit.tools.turn_report import CheckReport, State, Step, TransportReport
from natkit.tools.turn_words import (
    Given,
    Problem,
    allocation_problem,
    connect_problem,
    is_public,
    loop_problem,
    permission_problem,
    reach_problem,
    relayed_problem,
)
from natkit.turn.client_allocation import Wish
from natkit.turn.client_events import Failure
from natkit.turn.client_uri import PORT, TurnUri
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

PATIENCE: Seconds = 5.0
"""For a connection, and for each request: five sends over UDP, a fifth of the RFC's patience."""


FORBIDDEN, FAMILY_NOT_SUPPORTED = 403, 440
"""The server does not relay to that peer, or has no relayed address of that IP version."""


UDP_PATIENCE: Seconds = 2.0
"""For a Binding that says whether UDP gets out, and from where: three sends."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to check; the same for every transport.

    Attributes:
        trust:    whom to believe over TLS.
        patience: seconds for a connection, and for each request.
        look_up_srv: finds SRV records by name; None: this network has no DNS.
    """

    given: Given
    randomness: Randomness
    trust: Trust
    patience: Seconds = PATIENCE
    look_up_srv: SrvLookup | None = None


async def check(network: Network, uri: TurnUri, manner: Manner) -> CheckReport:
    """Try every transport that `uri` stands for, to the first address of each IP version.

    A version that this network has no route for is left out, unless it is the only one.
    """
    began = network.now()
    transports = tuple(dict.fromkeys((*uri.transports, *_EXTRA[uri.transport is None])))
    found = await asyncio.gather(*(_servers(network, uri, one, manner) for one in transports))
    took = network.now() - began
    if not any(found):
        return CheckReport(uri, (_nowhere(uri, took),))
    reports = []
    for transport, servers in zip(transports, found, strict=True):
        resolved = Step("resolve", State.FINE, ", ".join(at.ip for at in servers), took)
        for server in [at for at in servers if network.source_for(at)] or servers:
            one = _Check(network, uri, transport, server, manner, [resolved])
            reports.append(await one.run())
    return CheckReport(uri, tuple(reports))


async def _servers(
    network: Network, uri: TurnUri, transport: Transport, manner: Manner
) -> list[TransportAddress]:
    """Return the first address of each IP version."""
    found = await server_places(network, uri, transport, manner.randomness, manner.look_up_srv)
    firsts = {at.is_ipv6: at for at in reversed(found)}
    return [firsts[version] for version in sorted(firsts)]


_EXTRA = {True: (Transport.TLS,), False: ()}
"""Where a URI leaves the transport open: what clients behind a strict firewall would want."""


def _nowhere(uri: TurnUri, took: Seconds) -> TransportReport:
    what = f"{uri.host} has no address"
    mend = "Check the name, and that DNS works here"
    problem = Problem(what, mend, NetworkUnreachable.exit_code)
    step = Step("resolve", State.FAILED, seconds=took, problem=problem)
    return TransportReport(uri.transports[0], None, True, (step,))


@dataclass(slots=True)
class _Check:
    """The check of one transport; `steps` grows as it goes."""

    network: Network
    uri: TurnUri
    transport: Transport
    server: TransportAddress
    manner: Manner
    steps: list[Step]

    async def run(self) -> TransportReport:
        """Take all steps."""
        allocated = None
        if await self._connect():
            inbox = Inbox()
            relay = await self._allocate(inbox)
            if relay is not None:
                allocated = relay.allocated
                try:
                    await self._loop(relay, inbox)
                    await self._reach(relay, inbox)
                finally:
                    await relay.close_and_wait()
        asked = self.transport in self.uri.transports
        return TransportReport(self.transport, self.server, asked, tuple(self.steps), allocated)

    @property
    def _tls(self) -> Tls | None:
        if self.transport is not Transport.TLS:
            return None
        trust = self.manner.trust
        return Tls(self.uri.host, trust.verify, trust.ca_file)

    async def _connect(self) -> bool:
        """Open a stream, to see how long that takes; UDP has nothing to open."""
        if self.transport is Transport.DTLS:
            self._skip("connect", "natkit's client does not speak DTLS")
            return False
        if not self.transport.is_stream:
            return True
        began = self.network.now()
        try:
            stream = await self.network.open_stream(
                self.server, tls=self._tls, patience=self.manner.patience
            )
        except NatkitError as error:
            self._fail("connect", connect_problem(error, self.transport, self.uri.host))
            return False
        self._pass("connect", str(self.server), self.network.now() - began)
        await stream.close()
        return True

    async def _allocate(self, inbox: Inbox) -> RelayedEndpoint | None:
        """Make an allocation, of the IP version that the server is asked with where it has one."""
        own = Family.IPV6 if self.server.is_ipv6 else Family.IPV4
        other = Family.IPV4 if own is Family.IPV6 else Family.IPV6
        try:
            made = await self._try_to_allocate(inbox, own)
            if isinstance(made, Failure) and made.code == FAMILY_NOT_SUPPORTED:
                made = await self._try_to_allocate(inbox, other)
        except NatkitError as error:
            self._fail("allocate", connect_problem(error, self.transport, self.uri.host))
            return None
        if isinstance(made, Failure):
            problem = allocation_problem(made, self.manner.given, self.transport)
            self._fail("allocate", problem)
            return None
        got = made.allocated
        detail = f"relayed {made.local}, seen as {got.mapped}"
        problem_with_it = relayed_problem(made.local, made.server.address)
        if problem_with_it is not None:
            self._fail("allocate", problem_with_it, detail)
        else:
            self._pass("allocate", detail, got.round_trip)
        return made

    async def _try_to_allocate(self, inbox: Inbox, family: Family) -> RelayedEndpoint | Failure:
        return await allocate(
            self.network,
            Server(self.server, self.transport, self._tls),
            self.manner.given.login,
            inbox,
            randomness=self.manner.randomness,
            wish=Wish((family,)),
            patience=self.manner.patience,
        )

    async def _loop(self, relay: RelayedEndpoint, inbox: Inbox) -> None:
        """Send the relay a packet through the relay."""
        ip = relay.local.ip
        failure = await relay.try_to_permit(ip)
        if failure is not None:
            self._fail("permit", permission_problem(failure, ip, own=True))
            self._skip("loop", "not permitted")
            return
        self._pass("permit", ip)
        crossing = await cross(self.network, relay, relay.local, inbox, self.manner.randomness)
        if crossing is None:
            self._fail("loop", loop_problem(relay.local))
        else:
            self._crossed("loop", "through the relay to itself and back", crossing)

    async def _reach(self, relay: RelayedEndpoint, inbox: Inbox) -> None:
        """Send the relay a packet from a socket here, and one back."""
        ip = relay.allocated.mapped.ip
        if (":" in ip) != relay.local.is_ipv6:
            self._skip("reach", f"the relay has no address of our IP version ({ip})")
            return
        failure = await relay.try_to_permit(ip)
        if failure is not None and failure.code == FORBIDDEN and not is_public(ip):
            self._skip(
                "reach", f"the server does not relay to {ip}, which is private; ask it from outside"
            )
            return
        if failure is not None:
            self._fail("reach", permission_problem(failure, ip, own=False))
            return
        outside = Outside(self.network, self.manner.randomness, Inbox())
        try:
            inward = await outside.into(relay, inbox)
            if inward is None:
                await self._nothing_arrived(relay)
                return
            outward = await outside.back(relay, inward.source)
            if outward is None and ip == relay.local.ip:
                # A relay may deny its own address, and then says nothing (RFC 8656 §11.2).
                self._skip(
                    "reach", f"we are on the relay's own address {ip}; ask from another host"
                )
            elif outward is None:
                self._fail("reach", reach_problem(relay.local, inward=False))
            else:
                self._crossed("reach", "from the relay to a socket here", outward)
        except NatkitError as error:
            self._skip("reach", f"no socket for it: {error}")
        finally:
            outside.close()

    async def _nothing_arrived(self, relay: RelayedEndpoint) -> None:
        """Blame the relay ports, unless it may well be what lies between us and the server."""
        seen, ours = await self._address_over_udp(), relay.allocated.mapped.ip
        if seen is None and self.transport is not Transport.UDP:
            self._skip("reach", "no UDP gets out of here, so this cannot be seen from here")
        elif seen is not None and seen != ours:
            why = f"our packets come from several addresses ({ours}, {seen}); only one is permitted"
            self._skip("reach", why)
        else:
            self._fail("reach", reach_problem(relay.local, inward=True))

    async def _address_over_udp(self) -> str | None:
        """Ask the server where UDP from here comes from, on its port or the usual one.

        None: no answer.
        """
        family = Family.IPV6 if self.server.is_ipv6 else Family.IPV4
        for port in dict.fromkeys((self.server.port, PORT)):
            with contextlib.suppress(NatkitError):
                report = await query(
                    self.network,
                    StunUri(self.server.ip, port, StunTransport.UDP),
                    randomness=self.manner.randomness,
                    families=[family],
                    patience=UDP_PATIENCE,
                )
                return report.answer.mapped.ip
        return None

    def _crossed(self, name: str, detail: str, crossing: Crossing) -> None:
        lost = crossing.tries - 1
        note = f"; {lost} lost before" if lost else ""
        self._pass(name, detail + note, crossing.round_trip)

    def _pass(self, name: str, detail: str, seconds: Seconds | None = None) -> None:
        self.steps.append(Step(name, State.FINE, detail, seconds))

    def _fail(self, name: str, problem: Problem, detail: str = "") -> None:
        self.steps.append(Step(name, State.FAILED, detail, problem=problem))

    def _skip(self, name: str, why: str) -> None:
        self.steps.append(Step(name, State.SKIPPED, why))
