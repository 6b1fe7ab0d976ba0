"""Say what NAT a network is behind, and what it means for a call.

The parts run side by side: one discovery for each IP version, the port-mapping protocols, the hops
on the way out, and what TCP and TLS can do. Each is bounded in time, so a silent one costs no more
than the slowest of the others may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from natkit.errors import NetworkUnreachable, UsageError
from natkit.machine import Seconds
from natkit.nat.behaviour import Measured
from natkit.nat.discovery import Findings
from natkit.nat.layers import NatLayers, Surroundings, Trace, count_layers
from natkit.nat.survey import ServerReport
from natkit.nat.verdict import Reach, Verdict
from natkit.network import Family, Network
from natkit.tools.conclusion import Families, FamilyReport, advise, conclude
from natkit.tools.discover import Randomness, discover
from natkit.tools.extras import measure_extras
from natkit.tools.fallback import FallbackReport, find_fallback
from natkit.tools.gateway import PortMappingReport, find_port_mapping
from natkit.tools.layers import trace_first_shown
from natkit.tools.lookup import Servers, look_up_servers

STUN_PORT = 3478

DEFAULT_SERVERS = (
    ("stunserver2025.stunprotocol.org", STUN_PORT),
    ("stun.voipgate.com", STUN_PORT),
    ("stun.sipgate.net", STUN_PORT),
    ("stun.cloudflare.com", STUN_PORT),
    ("stun.l.google.com", 19302),
)
"""Public servers: the first three are known for RFC 5780, the others are plain and nearly
everywhere. Their operators change, so none is relied on: docs/decisions/0006-default-servers.md."""

DEFAULT_BUDGET: Seconds = 6.0
"""Seconds after which a discovery decides with what it has."""

SIDE_BUDGET: Seconds = 1.0
"""Seconds for each of the parts that are not discovery; a probe of a good path takes no longer."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and with whom.

    Attributes:
        servers:   (host, port) of STUN servers, in order of preference.
        families:  IP versions to probe.
        interface: send from this interface only; None: as the system routes.
        hairpin, lifetime, fragments: measure these too; each takes longer or may alarm somebody.
        budget:    seconds for a discovery.
    """

    servers: tuple[tuple[str, int], ...] = DEFAULT_SERVERS
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    interface: str | None = None
    hairpin: bool = False
    lifetime: bool = False
    fragments: bool = False
    budget: Seconds = DEFAULT_BUDGET


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Everything a probe found out.

    Attributes:
        elapsed:  seconds it took.
    """

    verdict: Verdict
    rfc3489: str | None
    families: Families
    trace: Trace
    layers: Measured[NatLayers]
    port_mapping: PortMappingReport
    fallback: FallbackReport
    elapsed: Seconds

    @property
    def servers(self) -> tuple[ServerReport, ...]:
        """Every server that was asked, once for each of its addresses."""
        reports = (f.findings.servers for f in self.families.values() if not isinstance(f, str))
        return tuple(server for family in reports for server in family)

    @property
    def is_reachable(self) -> bool:
        """True when any server answered over UDP or a stream."""
        answered = any(server.round_trip is not None for server in self.servers)
        return answered or bool(self.fallback.tcp.value) or bool(self.fallback.tls.value)

    def findings(self, family: Family) -> Findings | None:
        """Return what was found for `family`; None where nothing was."""
        report = self.families.get(family)
        return report.findings if isinstance(report, FamilyReport) else None


async def probe(
    network: Network,
    options: Options = Options(),
    *,
    randomness: Randomness,
    tell: Callable[[str], None] = lambda _: None,
) -> ProbeReport:
    """Measure everything that `options` ask for.

    Args:
        randomness: returns that many unpredictable bytes.
        tell:       hears in a few words what is going on.
    Raises:
        UsageError:         no server was named, or the interface does not exist.
        NetworkUnreachable: there is no route to anywhere, no server has an address, or no socket
            could be opened over any IP version.
    """
    if not options.servers:
        raise UsageError("no STUN server to ask", hint="Name one with --server HOST[:PORT]")
    started = network.now()
    tell(f"looking up {len(options.servers)} servers")
    servers = await look_up_servers(network, options.servers, options.families, options.interface)
    run = _Probe(network, options, servers, randomness)
    tell("asking " + ", ".join(dict.fromkeys(name for name, _ in run.all_servers)))
    report = await run.everything()
    return replace(report, elapsed=network.now() - started)


@dataclass(frozen=True, slots=True)
class _Probe:
    network: Network
    options: Options
    servers: dict[Family, Servers | str]
    randomness: Randomness

    @property
    def all_servers(self) -> Servers:
        families = (servers for servers in self.servers.values() if not isinstance(servers, str))
        return tuple(server for servers in families for server in servers)

    async def everything(self) -> ProbeReport:
        by_family, (port_mapping, trace, fallback) = await asyncio.gather(
            self._families(), self._surroundings()
        )
        verdict, alias = conclude(by_family, fallback)
        surroundings = _surroundings(by_family, port_mapping, trace)
        layers = count_layers(surroundings)
        return ProbeReport(
            advise(verdict, layers, surroundings),
            alias,
            by_family,
            trace,
            layers,
            port_mapping,
            fallback,
            elapsed=0.0,
        )

    async def _families(self) -> Families:
        """Probe each IP version. One that fails is no reason to throw the other's findings away.

        Raises: NetworkUnreachable: none could be probed.
        """
        reports = await asyncio.gather(*(self._family(*item) for item in self.servers.items()))
        failed = [report for report in reports if isinstance(report, NetworkUnreachable)]
        if failed and not any(isinstance(report, FamilyReport) for report in reports):
            raise failed[0]
        worded = (str(r) if isinstance(r, NetworkUnreachable) else r for r in reports)
        return dict(zip(self.servers, worded, strict=True))

    async def _family(
        self, family: Family, servers: Servers | str
    ) -> FamilyReport | NetworkUnreachable | str:
        if isinstance(servers, str):
            return servers
        try:
            return await self._measured(family, servers)
        except NetworkUnreachable as error:
            return error

    async def _measured(self, family: Family, servers: Servers) -> FamilyReport:
        findings = await discover(
            self.network,
            servers,
            family=family,
            randomness=self.randomness,
            budget=self.options.budget,
            interface=self.options.interface,
        )
        extras = await measure_extras(
            self.network,
            findings,
            family=family,
            interface=self.options.interface,
            hairpin=self.options.hairpin,
            lifetime=self.options.lifetime,
            fragments=self.options.fragments,
            randomness=self.randomness,
        )
        return FamilyReport(findings, extras)

    async def _surroundings(self) -> tuple[PortMappingReport, Trace, FallbackReport]:
        interface, randomness = self.options.interface, self.randomness
        return await asyncio.gather(
            find_port_mapping(
                self.network, interface=interface, randomness=randomness, budget=SIDE_BUDGET
            ),
            trace_first_shown(
                self.network,
                [address for _, address in self.all_servers],
                interface=interface,
                randomness=randomness,
            ),
            find_fallback(
                self.network,
                self.all_servers,
                interface=interface,
                randomness=randomness,
                budget=SIDE_BUDGET,
            ),
        )


def _surroundings(
    families: Families, port_mapping: PortMappingReport, trace: Trace
) -> Surroundings:
    ipv4 = families.get(Family.IPV4)
    findings = ipv4.findings if isinstance(ipv4, FamilyReport) else None
    own = findings.local.ip if findings is not None and findings.local is not None else None
    return Surroundings(
        own=own,
        mapped=findings.mapped[0][1].ip if findings is not None and findings.mapped else None,
        wan=port_mapping.wan_addresses_on_the_way(own),
        trace=trace,
    )


def meets(report: ProbeReport, requirement: str) -> bool:
    """Say whether a `--require` holds.

    Args: requirement: "direct" (everyone or most), "everyone", "udp", "ipv4" or "ipv6".
    """
    match requirement:
        case "direct":
            return report.verdict.direct in (Reach.EVERYONE, Reach.MOST)
        case "everyone":
            return report.verdict.direct is Reach.EVERYONE
        case "udp":
            return any(s.round_trip is not None for s in report.servers)
        case "ipv4" | "ipv6":
            findings = report.findings(Family(int(requirement[-1])))
            return findings is not None and findings.reachable
    raise UsageError(f"no requirement is called {requirement!r}")


REQUIREMENTS: Sequence[str] = ("direct", "everyone", "udp", "ipv4", "ipv6")
"""What `meets` understands."""
