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

    It does so by itself only for the endpoint-independent mapping, and only where the port is
    not from a counter; a hash gives the same port again anyhow.
    """
    match nat.mapping, nat.ports:
        case (_, PortPolicy.PRESERVING | PortPolicy.HASHED):
            return False
        case (Mapping.ADDRESS_AND_PORT_DEPENDENT, _):
            return False
        case (Mapping.ENDPOINT_INDEPENDENT, PortPolicy.RANDOM):
            return False
    return True


def source_nat(nat: Nat, outside: Sequence[str], seed: int) -> Iterator[str]:
    """Yield the statements that give a new flow its external address and port, first match wins.

    Args:   outside: the external addresses.
    Raises: Unsupported.
    """
    address, persistent = _address(nat, outside, seed)
    match nat.ports:
        case PortPolicy.PRESERVING:
            _check_preserving(nat)
            if nat.port_range != EPHEMERAL:
                yield f"{TRANSPORTS}snat to {address}:{_span(*nat.port_range)}{persistent}"
        case PortPolicy.RANDOM if nat.mapping is Mapping.ENDPOINT_INDEPENDENT:
            yield from _never_preserving(nat.port_range, address, persistent)
        case PortPolicy.RANDOM:
            span = _span(*nat.port_range)
            flags = ",".join(["fully-random", *persistent.split()])
            yield f"{TRANSPORTS}snat to {address}:{span} {flags}"
        case PortPolicy.SEQUENTIAL:
            number = f"numgen inc mod {len(ports(nat))}"
            yield f"{TRANSPORTS}snat to {address} : {number} map @ports{persistent}"
        case PortPolicy.HASHED:
            number = f"jhash {key(nat.mapping, 'th')} mod {len(ports(nat))} seed {_seed(seed)}"
            yield f"{TRANSPORTS}snat to {address} : {number} map @ports{persistent}"
    yield f"snat to {address}{persistent}"


def _check_preserving(nat: Nat) -> None:
    if nat.mapping is Mapping.ENDPOINT_INDEPENDENT or nat.pooling is Pooling.ARBITRARY:
        return
    raise beyond("a mapping that depends on the destination and keeps the port")


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
    """Return what the map `ports` holds: the ports that a counter or a hash chooses from, in order.

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
            return (
                f"jhash {key(nat.mapping, 'th')} mod {len(outside)} seed {_seed(seed)} {table}",
                "",
            )
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
