"""On which interfaces the fast path is, and on which it cannot be."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

from natkit.errors import UsageError
from natkit.network import Network


class Interface(NamedTuple):
    """Where the program is to be.

    Attributes: hardware: it may take VLAN tags out of frames, and can be told to leave them in.
    """

    name: str
    number: int
    mac: bytes
    hardware: bool = False


class Choice(NamedTuple):
    """Where it is to be.

    Attributes: without: which others have the server's addresses, each with why it cannot be.
    """

    interfaces: tuple[Interface, ...]
    without: tuple[str, ...] = ()


def named(names: Sequence[str]) -> Choice:
    """Take those that an owner names. Raises: UsageError, OSError: one of them cannot be used."""
    found = [_interface(name) for name in names]
    for one in found:
        if not one.mac:
            raise UsageError(f"{one.name} is no Ethernet interface", hint="Name those that are")
    return Choice(tuple(found))


def with_addresses(network: Network, addresses: Sequence[str]) -> Choice:
    """Take those that have these addresses, where the program can be.

    Raises: UsageError: it can be on none; OSError: one cannot be asked.
    """
    wanted = set(addresses)
    names = [one.name for one in network.interfaces() if one.ip in wanted and one.name != "lo"]
    if not names:
        raise UsageError(
            "no interface for the fast path",
            why="the server's addresses are on the loopback interface alone",
            hint="Listen on an address that others reach, or leave --fast-path out",
        )
    found, without = [], []
    for one in map(_interface, dict.fromkeys(names)):
        why_not = _why_not(one)
        if why_not is None:
            found.append(one)
        else:
            without.append(f"{one.name} ({why_not})")
    if not found:
        raise UsageError("no interface for the fast path", why=", ".join(without))
    return Choice(tuple(found), tuple(without))


def _why_not(one: Interface) -> str | None:
    from natkit.dataplane.kernel.netlink import has_hidden_tags

    if not one.mac:
        return "no Ethernet interface"
    try:
        hidden = has_hidden_tags(one.number)
    except OSError:  # it may not look at the other end
        hidden = False
    return "its VLAN tags are not to be seen" if hidden else None


def _interface(name: str) -> Interface:
    from natkit.dataplane.kernel.netlink import is_hardware
    from natkit.dataplane.kernel.syscalls import hardware_address

    number, mac = _number(name), hardware_address(name)
    return Interface(name, number, mac, is_hardware(number))


def _number(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        known = ", ".join(known for _, known in socket.if_nameindex())
        raise UsageError(f"there is no interface {name!r}", hint=f"There are: {known}") from None
