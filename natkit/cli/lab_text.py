"""A scenario in words: its network as a tree, what its NATs do, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from natkit.lab.scenarios import Scenario, Truth
from natkit.lab.topology import (
    Firewall,
    Hairpin,
    Link,
    Nat,
    Pooling,
    PortPolicy,
    Router,
    Segment,
    Topology,
)

_LABEL = 12
"""Width of the first column of the truth."""


def describe(scenario: Scenario) -> str:
    """Return the scenario on one screen."""
    alias = f" ({scenario.alias})" if scenario.alias else ""
    return "\n".join(
        [
            f"{scenario.name}: {scenario.title}{alias}",
            "",
            *_tree(scenario.topology, scenario.topology.segments[0]),
            "",
            "What a probe must find:",
            *(
                f"  {label + ':':<{_LABEL}}{words}"
                for label, words in truth_in_words(scenario.truth)
            ),
        ]
    )


def _tree(topology: Topology, segment: Segment) -> Iterator[str]:
    """Yield the segment, its hosts, and below each router what is behind it."""
    yield f"{segment.name}  " + ", ".join(p for p in (segment.ipv4, segment.ipv6) if p)
    hosts = [host for host in topology.hosts if host.segment == segment.name]
    routers = [router for router in topology.routers if router.outside == segment.name]
    width = max(len(name) for name in ["", *(h.name for h in hosts), *(r.name for r in routers)])
    for host in hosts:
        yield f"+-- {host.name:<{width}}  {', '.join(host.addresses)}{_link(host.link)}"
    for router in routers:
        link = _link(router.link)
        yield f"+-- {router.name:<{width}}  {', '.join(router.outside_addresses)}  router{link}"
        for line in _router(router):
            yield f"|     {line}"
        for line in _tree(topology, topology.segment(router.inside)):
            yield f"    {line}"


def _router(router: Router) -> Iterator[str]:
    yield f"inside: {', '.join(router.inside_addresses)}"
    if router.nat is not None:
        yield "NAT: " + ", ".join(nat_in_words(router.nat))
    if router.firewall != Firewall():
        yield "firewall: " + ", ".join(_firewall(router.firewall))


def nat_in_words(nat: Nat) -> Iterator[str]:
    """Yield what a NAT does, a few words at a time."""
    yield f"{nat.mapping.value} mapping"
    yield f"{nat.filtering.value} filtering"
    yield _ports(nat)
    if nat.one_to_one:
        yield f"an address of {', '.join(nat.pool)} for each host"
    elif nat.pool:
        yield f"addresses {', '.join(nat.pool)} {_POOLING[nat.pooling]}"
    if nat.hairpin is not Hairpin.NONE:
        yield f"hairpins with the {nat.hairpin.value.replace('-', ' ')}"
    if nat.lifetime != Nat().lifetime:
        yield f"forgets after {nat.lifetime:g} s"
    if nat.table_size is not None:
        yield f"holds {nat.table_size} mappings"
    if nat.rewrites_payload:
        yield "rewrites its address inside payloads"


_POOLING = {
    Pooling.PAIRED: "paired with the hosts",
    Pooling.PER_DESTINATION: "chosen by destination",
    Pooling.ARBITRARY: "in any order",
}


def _ports(nat: Nat) -> str:
    span = "{}-{}".format(*nat.port_range)
    match nat.ports:
        case PortPolicy.PRESERVING:
            return "keeps the port"
        case PortPolicy.RANDOM:
            return f"random ports {span}"
        case PortPolicy.SEQUENTIAL:
            return f"ports {span} in steps of {nat.port_step:+d}"
        case PortPolicy.HASHED:
            return f"ports {span} by a hash"


def _firewall(firewall: Firewall) -> Iterator[str]:
    if firewall.stateful:
        yield "nothing comes in unasked"
    if firewall.udp_blocked:
        yield "no UDP"
    if firewall.tcp_ports is not None:
        yield f"TCP out to {', '.join(map(str, firewall.tcp_ports)) or 'nowhere'} only"


def _link(link: Link) -> str:
    words = [
        f"{link.latency * 1000:g} ms" if link.latency else "",
        f"jitter {link.jitter * 1000:g} ms" if link.jitter else "",
        f"{link.loss:.3g} loss" if link.loss else "",
        f"{link.rate:g} bit/s" if link.rate else "",
    ]
    shown = ", ".join(word for word in words if word)
    return f"  ({shown})" if shown else ""


def truth_in_words(truth: Truth) -> Iterator[tuple[str, str]]:
    """Yield what is true of a scenario, as label and words."""
    layers = f"{truth.layers} layer{'s' if truth.layers > 1 else ''}"
    yield "NAT", f"yes, {layers}" if truth.nat else "none"
    if not truth.udp:
        yield "UDP", "blocked, so nothing else can be measured"
        return
    if truth.mapping is not None:
        yield "mapping", truth.mapping.value
    if truth.filtering is not None:
        yield "filtering", truth.filtering.value
    if truth.ports is not None:
        step = f", in steps of {truth.step:+d}" if truth.step is not None else ""
        yield "ports", truth.ports.value + step


def truth_as_json(truth: Truth) -> dict[str, Any]:
    """Return the JSON form of a scenario's truth."""
    return {
        "nat": truth.nat,
        "udp": truth.udp,
        "mapping": truth.mapping.value if truth.mapping is not None else None,
        "filtering": truth.filtering.value if truth.filtering is not None else None,
        "ports": truth.ports.value if truth.ports is not None else None,
        "step": truth.step,
        "layers": truth.layers,
    }
