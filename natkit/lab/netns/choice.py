"""Which external address and port a new mapping gets, as nftables source NAT statements.

Each function returns text; nothing here knows about hooks or interfaces.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from natkit.errors import Unsupported
from natkit.lab.topology import Nat, Pooling, PortPolicy
from natkit.nat.behaviour import Mapping

EPHEMERAL = (1024, 65535)
"""What the kernel takes by itself for a source port above 1023."""

TRANSPORTS = "meta l4proto { tcp, udp } "

_FIELDS = {
    Mapping.ENDPOINT_INDEPENDENT: ("ip saddr", "{} sport"),
    Mapping.ADDRESS_DEPENDENT: ("ip saddr", "{} sport", "ip daddr"),
    Mapping.ADDRESS_AND_PORT_DEPENDENT: ("ip saddr", "{} sport", "ip daddr", "{} dport"),
}

_ORIGINAL = (
    "ct original ip saddr",
    "ct original proto-src",
    "ct original ip daddr",
    "ct original proto-dst",
)

_TYPES = ("ipv4_addr", "inet_service", "ipv4_addr", "inet_service")


def beyond(what: str) -> Unsupported:
    """The error for a behaviour that only the simulator has."""
    return Unsupported(f"nftables cannot express {what}", hint="The simulator can: --backend sim")


def key(mapping: Mapping, transport: str = "udp") -> str:
    """Return the fields of an outgoing packet that select its mapping, as a concatenation."""
    return " . ".join(_FIELDS[mapping]).format(transport, transport)


def key_type(mapping: Mapping) -> str:
    """Return the nftables type of `key`."""
    return " . ".join(_TYPES[: len(_FIELDS[mapping])])


def original_key(mapping: Mapping) -> str:
    """Return `key` as it was before NAT, for hooks that come after it."""
    return " . ".join(_ORIGINAL[: len(_FIELDS[mapping])])


def remembers(nat: Nat) -> bool:
    """Tell whether the kernel has to be told to use a mapping again.

    For the endpoint-independent mapping it does so by itself, where it picks the port, too.
    """
    match nat.mapping:
        case Mapping.ENDPOINT_INDEPENDENT:
            return bool(ports(nat))
        case Mapping.ADDRESS_DEPENDENT:
            return True
        case Mapping.ADDRESS_AND_PORT_DEPENDENT:
            return False


def replaces_taken(nat: Nat) -> bool:
    """Tell whether the kernel has to be told to give a socket's second mapping another port.

    By itself it takes the port that the socket has, which is the endpoint-independent mapping.
    """
    depends = nat.mapping is not Mapping.ENDPOINT_INDEPENDENT
    return depends and nat.ports is PortPolicy.PRESERVING and nat.pooling is not Pooling.ARBITRARY


def source_nat(nat: Nat, outside: Sequence[str], seed: int) -> Iterator[str]:
    """Yield the statements that give a new flow its external address and port, first match wins.

    Args:   outside: the external addresses.
    Raises: Unsupported.
    """
    address, persistent = _address(nat, outside, seed)
    match nat.ports:
        case PortPolicy.PRESERVING:
            if replaces_taken(nat):
                yield f"udp sport @taken {_randomly(nat, address, persistent)}"
            if nat.port_range != EPHEMERAL:
                yield f"{TRANSPORTS}snat to {address}:{_span(*nat.port_range)}{persistent}"
        case PortPolicy.RANDOM if nat.mapping is Mapping.ENDPOINT_INDEPENDENT:
            yield from _never_preserving(nat.port_range, address, persistent)
        case PortPolicy.RANDOM:
            yield TRANSPORTS + _randomly(nat, address, persistent)
        case PortPolicy.SEQUENTIAL | PortPolicy.HASHED:
            for draw in _draws(nat, seed):
                yield TRANSPORTS + draw
            yield f"{TRANSPORTS}snat to {address} : ct mark map @ports{persistent}"
    yield f"snat to {address}{persistent}"


def _draws(nat: Nat, seed: int) -> Iterator[str]:
    """Yield what puts a number from 1 on into the flow's mark: where its port stands in `ports`."""
    count = len(ports(nat))
    if nat.ports is PortPolicy.SEQUENTIAL:
        yield f"ct mark set numgen inc mod {count} offset 1"
        return
    hashed = f"ct mark set jhash {key(nat.mapping, 'th')} mod {count}"
    yield f"{hashed} seed {_seed(seed)} offset 1"
    # Two flows with one hash would be one flow to the kernel, which drops the second.
    yield f"ct mark @busy {hashed} seed {_seed(~seed)} offset 1"


def _randomly(nat: Nat, address: str, persistent: str) -> str:
    flags = ",".join(["fully-random", *persistent.split()])
    return f"snat to {address}:{_span(*nat.port_range)} {flags}"


def _never_preserving(span: tuple[int, int], address: str, persistent: str) -> Iterator[str]:
    """Send each half of the range to the other: the kernel keeps a port that is in its range.

    (Without it, a third of Linux's ephemeral ports would come through 40000-49999 unchanged.)
    """
    low, high = span
    middle = (low + high) // 2
    lower, upper = _span(low, middle), _span(middle + 1, high)
    yield f"{TRANSPORTS}th sport {lower} snat to {address}:{upper}{persistent}"
    yield f"{TRANSPORTS}th sport {upper} snat to {address}:{lower}{persistent}"
    yield f"{TRANSPORTS}snat to {address}:{_span(low, high)}{persistent}"


def _span(low: int, high: int) -> str:
    return f"{low}-{high}"


def ports(nat: Nat) -> range:
    """Return what the map `ports` holds: the ports that a counter or a hash chooses from.

    The generators give numbers in host byte order, so a port cannot be computed, only looked up.
    """
    low, high = nat.port_range
    match nat.ports:
        case PortPolicy.SEQUENTIAL if nat.port_step < 0:
            return range(high, low - 1, nat.port_step)
        case PortPolicy.SEQUENTIAL:
            return range(low, high + 1, nat.port_step)
        case PortPolicy.HASHED:
            return range(low, high + 1)
    return range(0)


def _seed(seed: int) -> str:
    return f"{(seed & 0x7FFFFFFF) + 1:#x}"  # 0 would mean: the kernel picks one


def _address(nat: Nat, outside: Sequence[str], seed: int) -> tuple[str, str]:
    """Return the address part of a `snat to`, and the flag that goes at its end."""
    if len(outside) == 1:
        return outside[0], ""
    entries = ", ".join(f"{index} : {ip}" for index, ip in enumerate(outside))
    table = f"map {{ {entries} }}"
    match nat.pooling:
        case Pooling.ARBITRARY if nat.mapping is Mapping.ENDPOINT_INDEPENDENT:
            # One draw for each inside endpoint: a hash of it, since a new draw for each flow
            # would make the mapping depend on the destination.
            drawn = f"jhash {key(nat.mapping, 'th')} mod {len(outside)} seed {_seed(seed)}"
            return f"{drawn} {table}", ""
        case Pooling.ARBITRARY:
            return f"numgen random mod {len(outside)} {table}", ""
        case Pooling.PER_DESTINATION:
            return _contiguous(outside), ""
        case Pooling.PAIRED:
            return _contiguous(outside), " persistent"


def _contiguous(outside: Sequence[str]) -> str:
    numbers = [int(ipaddress.IPv4Address(ip)) for ip in outside]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise beyond(f"a pool that is not one run of addresses ({', '.join(outside)})")
    return f"{outside[0]}-{outside[-1]}"
