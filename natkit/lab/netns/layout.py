"""Where everything is plugged in: ports, routes, settings, as text for `ip -batch`. Pure.

Each segment is a bridge in one namespace of its own, the switch. Each attachment of a node is a
veth pair: `p3` at the switch, `eth0` at a host, `lan` and `wan` at a router.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from natkit.lab.netns.rules import INSIDE, OUTSIDE
from natkit.lab.topology import Link, Router, Topology
from natkit.network import Family


@dataclass(frozen=True, slots=True)
class Port:
    """One attachment of a node to a segment.

    Attributes:
        switch:    name of the interface at the switch.
        bridge:    name of the segment's bridge.
        interface: name of the interface in the node.
        addresses: with prefix lengths.
        link:      what happens to packets on it; None: nothing.
    """

    node: str
    switch: str
    bridge: str
    interface: str
    addresses: tuple[str, ...]
    link: Link | None


def nodes(topology: Topology) -> tuple[str, ...]:
    """Return the names of all hosts and routers."""
    return (*(host.name for host in topology.hosts), *(router.name for router in topology.routers))


def ports(topology: Topology) -> tuple[Port, ...]:
    """Return every attachment, hosts first."""
    return tuple(
        Port(
            node,
            f"p{index}",
            bridge(topology, segment),
            interface,
            tuple(_with_prefix(topology, segment, addresses)),
            link,
        )
        for index, (node, segment, interface, addresses, link) in enumerate(_attachments(topology))
    )


def _attachments(
    topology: Topology,
) -> Iterator[tuple[str, str, str, tuple[str, ...], Link | None]]:
    for host in topology.hosts:
        yield host.name, host.segment, "eth0", host.addresses, host.link
    for router in topology.routers:
        yield router.name, router.inside, INSIDE, router.inside_addresses, None
        pool = router.nat.pool if router.nat is not None else ()
        outside = tuple(dict.fromkeys((*router.outside_addresses, *pool)))
        yield router.name, router.outside, OUTSIDE, outside, router.link


def bridge(topology: Topology, segment: str) -> str:
    """Return the name of a segment's bridge."""
    return f"br{[known.name for known in topology.segments].index(segment)}"


def _with_prefix(topology: Topology, segment: str, addresses: tuple[str, ...]) -> Iterator[str]:
    known = topology.segment(segment)
    for address in addresses:
        prefix = known.ipv6 if ":" in address else known.ipv4
        yield f"{address}/{ipaddress.ip_network(str(prefix)).prefixlen}"


def switch_batch(topology: Topology, path_of: Callable[[str], str]) -> str:
    """Return what creates the bridges, and the cables with their far ends in the nodes.

    Args: path_of: from a node's name to a path of its namespace.
    """
    lines = []
    for segment in topology.segments:
        # Snooping would hold back multicast (SSDP, neighbour discovery) until somebody joins.
        name = bridge(topology, segment.name)
        lines += [f"link add {name} type bridge mcast_snooping 0", f"link set {name} up"]
    for port in ports(topology):
        peer = f"peer name {port.interface} netns {path_of(port.node)}"
        lines += [f"link add {port.switch} type veth {peer}"]
        lines += [f"link set {port.switch} master {port.bridge} up"]
    return "\n".join(lines) + "\n"


def node_batch(topology: Topology, node: str) -> str:
    """Return what brings a node's interfaces up, with addresses and routes."""
    lines = ["link set lo up"]
    for port in ports(topology):
        if port.node == node:
            lines.append(f"link set {port.interface} up")
            lines += [_address(port.interface, address) for address in port.addresses]
    lines += [f"route add {prefix} via {via}" for prefix, via in routes(topology, node)]
    return "\n".join(lines) + "\n"


def _address(interface: str, address: str) -> str:
    # Duplicate address detection would hold the address back for a second.
    nodad = " nodad" if ":" in address else ""
    return f"addr add {address} dev {interface}{nodad}"


def routes(topology: Topology, node: str) -> tuple[tuple[str, str], ...]:
    """Return a node's routes as (prefix, next hop): the way out, and the ways further in."""
    found: dict[str, str] = {}
    for name, segment, interface, *_ in _attachments(topology):
        if name != node:
            continue
        for family in Family:
            found.update(_downstream(topology, segment, family, but=node))
            uplink = topology.uplink(segment)
            if uplink is not None and interface != INSIDE:
                for via in _of_family(uplink.inside_addresses, family)[:1]:
                    found["0.0.0.0/0" if family is Family.IPV4 else "::/0"] = via
    return tuple(found.items())


def _downstream(
    topology: Topology, segment: str, family: Family, *, but: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the prefixes behind the routers that hang on `segment`; none behind a NAT."""
    for router in topology.routers:
        if router.outside != segment or router.name == but or _translates(router, family):
            continue
        via = _of_family(router.outside_addresses, family)
        inside = topology.segment(router.inside)
        prefix = inside.ipv6 if family is Family.IPV6 else inside.ipv4
        if not via or prefix is None or not _of_family(router.inside_addresses, family):
            continue
        yield prefix, via[0]
        for further, _ in _downstream(topology, router.inside, family):
            yield further, via[0]


def _translates(router: Router, family: Family) -> bool:
    return family is Family.IPV4 and router.nat is not None


def _of_family(addresses: tuple[str, ...], family: Family) -> tuple[str, ...]:
    return tuple(ip for ip in addresses if ipaddress.ip_address(ip).version == family)


def settings(topology: Topology, node: str) -> dict[str, str]:
    """Return a node's kernel settings; they must be there before its interfaces are."""
    values = {
        # A traceroute through the lab must not be rationed. The masks say what is: nothing, and for
        # IPv6 a type that nobody sends. Without rates alone, a limit would be left that all
        # namespaces share.
        "net/ipv4/icmp_ratelimit": "0",
        "net/ipv4/icmp_ratemask": "0",
        "net/ipv6/icmp/ratelimit": "0",
        "net/ipv6/icmp/ratemask": "255",
        "net/ipv6/conf/default/accept_dad": "0",
        "net/ipv6/conf/default/accept_ra": "0",
    }
    router = next((router for router in topology.routers if router.name == node), None)
    return values if router is None else values | _router_settings(router)


def _router_settings(router: Router) -> dict[str, str]:
    lifetime = "120" if router.nat is None else f"{router.nat.lifetime:.0f}"
    return {
        "net/ipv4/ip_forward": "1",
        "net/ipv6/conf/all/forwarding": "1",
        # Hairpinned packets leave by the interface they came in by.
        "net/ipv4/conf/all/send_redirects": "0",
        "net/ipv4/conf/default/send_redirects": "0",
        "net/netfilter/nf_conntrack_udp_timeout": lifetime,
        "net/netfilter/nf_conntrack_udp_timeout_stream": lifetime,
    }
