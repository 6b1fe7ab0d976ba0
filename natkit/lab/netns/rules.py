"""From a router's `Nat` and `Firewall` to nftables text. Pure: no privilege, no I/O.

Linux by itself is an endpoint-independent mapping that keeps the port, with address-and-port-
dependent filtering. Everything else is built on that:

- other mappings: natkit.lab.netns.choice picks the external port anew for each flow;
- other filtering: a table of the mappings that went out (`external`) and of whom they met
  (`met`), and a destination NAT that lets newcomers in by them.

The tables are filled after the source NAT has picked a port, so they hold what the outside sees.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from natkit.lab.netns import choice
from natkit.lab.topology import Firewall, Hairpin, Nat, PortPolicy, Router, Topology
from natkit.nat.behaviour import Filtering, Mapping

INSIDE, OUTSIDE = "lan", "wan"
"""The names of a router's interfaces."""

_FROM_INSIDE = f'iifname "{INSIDE}" '
_FROM_OUTSIDE = f'iifname "{OUTSIDE}" '
_OUT = f'oifname "{OUTSIDE}" '


def router_rules(topology: Topology, router: Router, *, seed: int = 0) -> str:
    """Return the nftables rules of `router`; empty: it forwards everything.

    Args:   seed: of the hashes (HASHED ports); the kernel's own random choices have no seed.
    Raises: Unsupported: nftables cannot express what was asked.
    """
    tables = []
    if router.nat is not None:
        tables.append(_block("table ip nat", _nat(topology, router, router.nat, seed)))
        tables += _port_elements(choice.ports(router.nat))
    if firewall := list(_firewall(router.firewall)):
        chain = _chain("firewall", "type filter hook forward priority 10", firewall)
        tables.append(_block("table inet firewall", [chain]))
    return "".join(tables)


def batches(rules: str) -> list[str]:
    """Cut rules into what the kernel takes at a time, to be fed to `nft` one after the other.

    A batch is one netlink message, and without root it may not exceed net.core.wmem_max, 208 KiB.
    """
    head, *elements = rules.split(_ADD_PORTS)
    return [head] * bool(head) + [_ADD_PORTS + each for each in elements]


_ADD_PORTS = "add element ip nat ports "
_BATCH = 6000  # elements of 28 bytes, with some room


def _port_elements(ports: range) -> Iterator[str]:
    entries = [f"{index} : {port}" for index, port in enumerate(ports, 1)]
    for start in range(0, len(entries), _BATCH):
        yield f"{_ADD_PORTS}{{ {', '.join(entries[start : start + _BATCH])} }}\n"


def _nat(topology: Topology, router: Router, nat: Nat, seed: int) -> list[str]:
    _refuse(nat)
    outside = nat.pool or _ipv4(router.outside_addresses)
    inside = [ip for h in topology.hosts if h.segment == router.inside for ip in _ipv4(h.addresses)]
    lan = str(topology.segment(router.inside).ipv4)
    pairs = list(zip(inside, outside, strict=False)) if nat.one_to_one else []
    return [
        *_tables(nat),
        _chain("arriving", "type nat hook prerouting priority -100", _arriving(nat, pairs)),
        _chain(
            "leaving",
            "type nat hook postrouting priority 100",
            _leaving(nat, outside, pairs, lan, seed),
        ),
        _chain("left", "type filter hook postrouting priority 200", _left(nat, outside)),
        _chain("unasked", "type filter hook input priority 0", [_UNASKED]),
        _chain("through", "type filter hook forward priority 0", _through(nat)),
    ]


# The router itself must not answer newcomers: the flow that its answer makes would collide with
# a later one from inside, which then gets another port.
_UNASKED = _FROM_OUTSIDE + "ct state new drop"


def _refuse(nat: Nat) -> None:
    if nat.rewrites_payload:
        raise choice.beyond("rewriting addresses in payloads (an ALG)")
    if nat.lifetime < 1 or nat.lifetime != int(nat.lifetime):
        raise choice.beyond(f"a lifetime of {nat.lifetime:g} s, only whole seconds from 1 on")
    if nat.one_to_one and nat.mapping is not Mapping.ENDPOINT_INDEPENDENT:
        raise choice.beyond("one-to-one NAT whose mapping depends on the destination")


def _tables(nat: Nat) -> Iterator[str]:
    """Yield the tables that the rules below keep. Each entry lives as long as a mapping."""
    ageing = f"flags dynamic,timeout; timeout {nat.lifetime:.0f}s"
    endpoint = "ipv4_addr . inet_service"
    if _lets_newcomers_in(nat):
        yield f"map external {{ type {endpoint} : {endpoint}; {ageing}; }}"
    if nat.filtering is Filtering.ADDRESS_DEPENDENT:
        yield f"set met {{ type {endpoint} . ipv4_addr; {ageing}; }}"
    if choice.ports(nat):
        yield "map ports { type mark : inet_service; }"
    if nat.ports is PortPolicy.HASHED:
        yield f"set busy {{ type mark; {ageing}; }}"
    if choice.remembers(nat):
        yield f"map kept {{ type {choice.key_type(nat.mapping)} : {endpoint}; {ageing}; }}"
    if choice.replaces_taken(nat):
        yield f"set taken {{ type inet_service; {ageing}; }}"
    if nat.table_size is not None:
        # Entries that have run out count until they are collected: do that often.
        limits = f"size {nat.table_size}; gc-interval 1s"
        yield f"set held {{ type {choice.key_type(nat.mapping)}; {limits}; {ageing}; }}"


def _lets_newcomers_in(nat: Nat) -> bool:
    return not nat.one_to_one and (
        nat.filtering is not Filtering.ADDRESS_AND_PORT_DEPENDENT or nat.hairpin is not Hairpin.NONE
    )


def _arriving(nat: Nat, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the destination NAT: who may open a flow to a mapping from outside, or hairpin."""
    if nat.one_to_one:
        doors = [(f"ip daddr {own} ", f"dnat to {host}") for host, own in pairs]
    else:
        doors = [("meta l4proto udp ", "dnat ip to ip daddr . udp dport map @external")]
    met = "ip daddr . udp dport . ip saddr @met "
    for match, translate in doors:
        if nat.filtering is Filtering.ENDPOINT_INDEPENDENT:
            yield _FROM_OUTSIDE + match + translate
        if nat.filtering is Filtering.ADDRESS_DEPENDENT:
            yield _FROM_OUTSIDE + match + met + translate
        if nat.hairpin is not Hairpin.NONE:
            yield _FROM_INSIDE + match + translate


def _leaving(
    nat: Nat, outside: Sequence[str], pairs: Sequence[tuple[str, str]], lan: str, seed: int
) -> Iterator[str]:
    """Yield the source NAT, for what goes out and for what hairpins as if it had gone out."""
    if nat.one_to_one:
        statements = [f"ip saddr {host} snat to {own}" for host, own in pairs]
    else:
        statements = list(choice.source_nat(nat, outside, seed))
        if choice.remembers(nat):
            known = f"meta l4proto udp snat ip to {choice.key(nat.mapping)} map @kept"
            statements.insert(0, known)
    for statement in statements:
        yield _OUT + statement
        if nat.hairpin is Hairpin.EXTERNAL_SOURCE:
            yield f'oifname "{INSIDE}" ip saddr {lan} ct status dnat {statement}'


def _left(nat: Nat, outside: Sequence[str]) -> Iterator[str]:
    """Yield what notes down each packet that has an external source by now.

    A flow that was opened from outside has its inside endpoint as the source of the reply.
    """
    udp = f"ip saddr {{ {', '.join(outside)} }} meta l4proto udp "
    if _lets_newcomers_in(nat):
        for direction in ("original", "reply"):
            inner = f"ct {direction} ip saddr . ct {direction} proto-src"
            entry = f"ip saddr . udp sport : {inner}"
            yield f"{udp}ct direction {direction} update @external {{ {entry} }}"
    if nat.filtering is Filtering.ADDRESS_DEPENDENT:
        yield f"{udp}update @met {{ ip saddr . udp sport . ip daddr }}"
    if choice.remembers(nat):
        entry = f"{choice.original_key(nat.mapping)} : ip saddr . udp sport"
        yield f"{udp}ct direction original update @kept {{ {entry} }}"
    if nat.ports is PortPolicy.HASHED:
        yield f"{udp}ct mark != 0 update @busy {{ ct mark }}"
    if choice.replaces_taken(nat):
        yield f"{udp}update @taken {{ udp sport }}"


def _through(nat: Nat) -> Iterator[str]:
    """Yield the filter for forwarded packets."""
    if nat.table_size is not None:
        outward = f"{_FROM_INSIDE}{_OUT}meta l4proto udp "
        key = choice.key(nat.mapping)
        yield f"{outward}update @held {{ {key} }}"
        yield f"{outward}{key} != @held drop"
    yield _FROM_OUTSIDE + "ct state new ct status dnat accept"
    yield _UNASKED


def _firewall(firewall: Firewall) -> Iterator[str]:
    if firewall.udp_blocked:
        yield "meta l4proto udp drop"
    if firewall.tcp_ports is not None:
        allowed = ", ".join(map(str, firewall.tcp_ports))
        match = f"tcp dport != {{ {allowed} }}" if allowed else "meta l4proto tcp"
        yield f"{_FROM_INSIDE}{match} ct state new drop"
    if firewall.stateful:
        yield _UNASKED


def _ipv4(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(ip for ip in addresses if ipaddress.ip_address(ip).version == 4)


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    return _block(f"chain {name}", [f"{hook};", *rules])


def _block(head: str, parts: Iterable[str]) -> str:
    body = "".join(f"    {line}\n" for part in parts for line in part.splitlines())
    return f"{head} {{\n{body}}}\n"
