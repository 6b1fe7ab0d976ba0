"""The networks people are really behind, each with the truth that a probe must find.

Every scenario has the host `alice` (whose network is measured), `carol` beside her where there is
an inside, `stun` on the internet with two addresses (RFC 5780), `stun2` with one, and `bob`, a
peer on the internet.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from natkit.errors import UsageError
from natkit.lab.topology import (
    Firewall,
    Hairpin,
    Host,
    Link,
    Nat,
    Pooling,
    PortPolicy,
    Router,
    Segment,
    Topology,
)
from natkit.nat.behaviour import Filtering, Mapping

EI, AD, APD = Mapping  # the three values of RFC 4787, shortened for the table below
EIF, ADF, APDF = Filtering

WAN = "203.0.113.100"
POOL = ("203.0.113.100", "203.0.113.101", "203.0.113.102", "203.0.113.103")
STUN = ("203.0.113.10", "203.0.113.11")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a probe of a scenario must find, and may not contradict.

    Attributes:
        nat:       False: alice's own address is what the internet sees.
        udp:       False: no UDP comes through, nothing below can be measured.
        mapping, filtering: the behaviour of everything between alice and the internet, combined.
        ports:     how the outermost NAT numbers.
        step:      SEQUENTIAL: distance between consecutive new mappings.
        layers:    how many NATs alice is behind.
    """

    nat: bool = True
    udp: bool = True
    mapping: Mapping | None = EI
    filtering: Filtering | None = APDF
    ports: PortPolicy | None = PortPolicy.PRESERVING
    step: int | None = None
    layers: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named network with its truth.

    Attributes:
        title: one line for people.
        alias: RFC 3489's name for it, where it has one.
    """

    name: str
    title: str
    topology: Topology
    truth: Truth
    alias: str | None = None
    client: str = "alice"
    stun: str = "stun"

    def with_loss(self, loss: float) -> Scenario:
        """Return the same network with `loss` (0 .. 1, each way) on alice's way to the internet."""
        routers = self.topology.routers
        if routers:
            lossy = (*routers[:-1], replace(routers[-1], link=replace(routers[-1].link, loss=loss)))
            return replace(self, topology=replace(self.topology, routers=lossy))
        hosts = tuple(
            replace(h, link=replace(h.link, loss=loss)) if h.name == self.client else h
            for h in self.topology.hosts
        )
        return replace(self, topology=replace(self.topology, hosts=hosts))


INTERNET = Segment("internet", "203.0.113.0/24", "2001:db8::/64")
HOME = Segment("home", "10.0.1.0/24", "2001:db8:1::/64")
CARRIER = Segment("carrier", "100.64.0.0/24")

_SERVERS = (
    Host("stun", "internet", (*STUN, "2001:db8::10", "2001:db8::11"), Link(latency=0.0)),
    Host("stun2", "internet", ("203.0.113.20", "2001:db8::20"), Link(latency=0.0)),
    Host("bob", "internet", ("203.0.113.50", "2001:db8::50"), Link(latency=0.0)),
)
_AT_HOME = (Host("alice", "home", ("10.0.1.2",)), Host("carol", "home", ("10.0.1.3",)))


def behind(nat: Nat | None, firewall: Firewall = Firewall(), link: Link = Link()) -> Topology:
    """Return the usual home: alice and carol behind one router, servers on the internet."""
    router = Router("home", "home", "internet", ("10.0.1.1",), (WAN,), nat, firewall, link)
    return Topology((INTERNET, HOME), (*_AT_HOME, *_SERVERS), (router,))


def behind_two(inner: Nat, outer: Nat, link: Link = Link()) -> Topology:
    """Return a home router behind a carrier's NAT (RFC 6598 addresses between them)."""
    home = Router(
        "home", "home", "carrier", ("10.0.1.1",), ("100.64.0.2",), inner, link=Link(latency=0.002)
    )
    cgn = Router("cgn", "carrier", "internet", ("100.64.0.1",), (WAN,), outer, link=link)
    return Topology((INTERNET, HOME, CARRIER), (*_AT_HOME, *_SERVERS), (home, cgn))


def _public(firewall: Firewall | None) -> Topology:
    if firewall is None:
        alice = Host("alice", "internet", ("203.0.113.60",), Link(latency=0.01))
        return Topology((INTERNET,), (alice, *_SERVERS))
    office = Segment("office", "198.51.100.0/24")
    alice = Host("alice", "office", ("198.51.100.2",))
    carol = Host("carol", "office", ("198.51.100.3",))
    router = Router(
        "office", "office", "internet", ("198.51.100.1",), (WAN,), nat=None, firewall=firewall
    )
    return Topology((INTERNET, office), (alice, carol, *_SERVERS), (router,))


def _dual_stack() -> Topology:
    router = Router(
        "home",
        "home",
        "internet",
        ("10.0.1.1", "2001:db8:1::1"),
        (WAN, "2001:db8::100"),
        Nat(),
        Firewall(stateful=True),
    )
    alice = Host("alice", "home", ("10.0.1.2", "2001:db8:1::2"))
    carol = Host("carol", "home", ("10.0.1.3", "2001:db8:1::3"))
    return Topology((INTERNET, HOME), (alice, carol, *_SERVERS), (router,))


_RANDOM_RANGE = (40000, 49999)
_PRESERVING, _RANDOM, _SEQUENTIAL, _HASHED = PortPolicy


def _nat(
    name: str,
    title: str,
    nat: Nat,
    alias: str | None = None,
) -> Scenario:
    step = nat.port_step if nat.ports is PortPolicy.SEQUENTIAL else None
    truth = Truth(mapping=nat.mapping, filtering=nat.filtering, ports=nat.ports, step=step)
    return Scenario(name, title, behind(nat), truth, alias)


def _sequential(step: int) -> Nat:
    return Nat(APD, APDF, _SEQUENTIAL, (40000, 40511), port_step=step)


_ALL = (
    Scenario(
        "open",
        "a host on the internet, no NAT, no firewall",
        _public(None),
        Truth(nat=False, filtering=EIF, layers=0),
        "Open Internet",
    ),
    Scenario(
        "firewalled",
        "public address behind a stateful firewall, no NAT",
        _public(Firewall(stateful=True)),
        Truth(nat=False, layers=0),
        "Symmetric UDP Firewall",
    ),
    _nat("home", "a Linux home router: masquerade", Nat(), "Port Restricted Cone"),
    _nat(
        "home-random",
        "a home router that does not keep the port",
        Nat(ports=_RANDOM, port_range=_RANDOM_RANGE),
        "Port Restricted Cone",
    ),
    _nat("full-cone", "a gaming router", Nat(filtering=EIF), "Full Cone"),
    _nat(
        "full-cone-random",
        "full cone that does not keep the port",
        Nat(filtering=EIF, ports=_RANDOM, port_range=_RANDOM_RANGE),
        "Full Cone",
    ),
    _nat("address-restricted", "filters by address", Nat(filtering=ADF), "Restricted Cone"),
    _nat("symmetric", "a corporate firewall", Nat(APD, APDF, _RANDOM), "Symmetric"),
    _nat("symmetric-eif", "symmetric, accepts from anybody", Nat(APD, EIF, _RANDOM), "Symmetric"),
    _nat("symmetric-adf", "symmetric, filters by address", Nat(APD, ADF, _RANDOM), "Symmetric"),
    _nat("adm-apdf", "one port for each address", Nat(AD, APDF, _HASHED, (30000, 49999))),
    _nat(
        "adm-adf", "one port for each address, filters by it", Nat(AD, ADF, _HASHED, (30000, 49999))
    ),
    _nat(
        "adm-eif",
        "one port for each address, accepts from anybody",
        Nat(AD, EIF, _HASHED, (30000, 49999)),
    ),
    _nat(
        "symmetric-hashed",
        "symmetric, the port a hash of the flow",
        Nat(APD, APDF, _HASHED, (30000, 49999)),
        "Symmetric",
    ),
    _nat("sequential", "symmetric, ports count up by 1", _sequential(1), "Symmetric"),
    _nat("sequential-2", "symmetric, ports count up by 2", _sequential(2), "Symmetric"),
    _nat("sequential-down", "symmetric, ports count down by 1", _sequential(-1), "Symmetric"),
    _nat(
        "port-block",
        "a carrier's block of 256 ports",
        Nat(APD, APDF, _RANDOM, (40000, 40255)),
        "Symmetric",
    ),
    _nat(
        "pool-paired",
        "a pool of addresses, one for each host",
        Nat(pool=POOL),
        "Port Restricted Cone",
    ),
    _nat(
        "pool-per-destination",
        "a pool of addresses, chosen by destination",
        Nat(pool=POOL, pooling=Pooling.PER_DESTINATION),
        "Port Restricted Cone",
    ),
    _nat(
        "pool-arbitrary",
        "a pool of addresses, any for each flow",
        Nat(APD, APDF, pool=POOL, pooling=Pooling.ARBITRARY),
        "Symmetric",
    ),
    _nat(
        "one-to-one",
        "a cloud's 1:1 NAT",
        Nat(filtering=EIF, pool=POOL[1:3], one_to_one=True),
        "Full Cone",
    ),
    _nat(
        "hairpin",
        "hairpins with the external source (RFC 4787 REQ-9)",
        Nat(filtering=EIF, hairpin=Hairpin.EXTERNAL_SOURCE),
        "Full Cone",
    ),
    _nat(
        "short-lifetime",
        "forgets a mapping after 2 seconds",
        Nat(ports=_RANDOM, port_range=_RANDOM_RANGE, lifetime=2.0),
        "Port Restricted Cone",
    ),
    Scenario(
        "udp-blocked",
        "an office that lets TCP 80 and 443 out, and no UDP",
        behind(Nat(), Firewall(udp_blocked=True, tcp_ports=(80, 443))),
        Truth(udp=False, mapping=None, filtering=None, ports=None),
    ),
    Scenario(
        "double",
        "a home router behind a carrier's NAT",
        behind_two(Nat(), Nat()),
        Truth(layers=2),
        "Port Restricted Cone",
    ),
    Scenario(
        "double-symmetric",
        "a home router behind a carrier's symmetric NAT",
        behind_two(Nat(), Nat(APD, APDF, _RANDOM)),
        Truth(mapping=APD, ports=_RANDOM, layers=2),
        "Symmetric",
    ),
    Scenario(
        "double-full-cone",
        "a home router behind a carrier's full cone: the inner filter wins",
        behind_two(Nat(), Nat(filtering=EIF)),
        Truth(layers=2),
        "Port Restricted Cone",
    ),
    Scenario(
        "dual-stack",
        "IPv4 behind a home NAT, IPv6 behind a stateful firewall",
        _dual_stack(),
        Truth(),
        "Port Restricted Cone",
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}


def scenario(name: str) -> Scenario:
    """Return the scenario of that name. Raises: UsageError: there is none."""
    try:
        return SCENARIOS[name]
    except KeyError:
        near = difflib.get_close_matches(name, SCENARIOS)
        hint = f"Did you mean: {', '.join(near)}?" if near else "List: natkit lab list"
        raise UsageError(f"no scenario is called {name!r}", hint=hint) from None
