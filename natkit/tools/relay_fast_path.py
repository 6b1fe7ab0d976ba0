"""Whether a relay forwards in the kernel, on which interfaces, and why not where it does not."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from natkit.errors import NatkitError, UsageError
from natkit.network import Network

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import FastTable

_FORWARDING = tuple(
    Path(f"/proc/sys/net/{version}/conf/lo/forwarding") for version in ("ipv4", "ipv6")
)
"""The kernel finds routes only for an interface that forwards. For what this machine makes itself,
as a relay does, that is the loopback interface, where it changes nothing else."""


class FastPathMode(Enum):
    """Where packets of calls are forwarded."""

    OFF = "off"
    AUTO = "auto"
    XDP = "xdp"


@dataclass(frozen=True, slots=True)
class FastPath:
    """What an owner wants.

    Attributes: interfaces: names; empty: those that have the server's addresses.
    """

    mode: FastPathMode = FastPathMode.OFF
    interfaces: tuple[str, ...] = ()


def parse_fast_path(text: str) -> FastPath:
    """Read "off", "auto", "xdp" or "xdp:eth0,eth1". Raises: UsageError."""
    word, colon, names = text.partition(":")
    interfaces = tuple(name for name in names.split(",") if name)
    try:
        mode = FastPathMode(word)
        if colon and (mode is not FastPathMode.XDP or not interfaces):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"fast-path {text!r} is none", hint="Write auto, off, xdp, or xdp:eth0,eth1"
        ) from None
    return FastPath(mode, interfaces)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What became of it.

    Attributes:
        table:      None: packets take the portable way.
        interfaces: where the kernel forwards.
        native:     those of them whose driver has the program; in the others' way it is later.
        why_not:    in one line, where it does not.
    """

    table: FastTable | None
    interfaces: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    why_not: str | None = None

    def __str__(self) -> str:
        """The interfaces and how: "eth0 (native), eth1 (generic)"."""
        modes = {name: "native" if name in self.native else "generic" for name in self.interfaces}
        return ", ".join(f"{name} ({mode})" for name, mode in modes.items())


def open_fast_path(network: Network, wanted: FastPath, addresses: Sequence[str]) -> Chosen:
    """Have the kernel forward what it can, if that is wanted and possible.

    Args:   addresses: IPs that clients and peers send to.
    Raises: NatkitError: it was asked for by name, and is not possible.
    """
    if wanted.mode is FastPathMode.OFF:
        return Chosen(None, why_not="--fast-path is off")
    try:
        return _opened(network, wanted, addresses)
    except NatkitError as error:
        if wanted.mode is FastPathMode.XDP:
            raise
        return Chosen(None, why_not=str(error).splitlines()[0])


def give_up_privileges(table: int | None) -> str | None:
    """Give up what loading takes; for programs that are this server, not for libraries.

    Args:    table: the descriptor of the table; None: there is no fast path.
    Returns: which stay, and why, in one line; None: none does.
    """
    if sys.platform != "linux":
        return None
    from natkit.dataplane.kernel.privileges import give_up

    try:
        kept = give_up(table)
    except OSError as error:
        return f"all that it was given: {error.strerror}"
    return "CAP_BPF: Linux before 5.19 asks for it with every channel" if kept else None


def refusal() -> str | None:
    """Return in one line why the kernel does not take the program; None: it does."""
    from natkit.dataplane.kernel.table import FastTable

    try:
        FastTable(1).close()
    except NatkitError as error:
        return str(error).splitlines()[0]
    return None


def _opened(network: Network, wanted: FastPath, addresses: Sequence[str]) -> Chosen:
    from natkit.dataplane.kernel.syscalls import driver, hardware_address
    from natkit.dataplane.kernel.table import FastTable

    names = wanted.interfaces or _interfaces_of(network, addresses)
    if not names:
        raise UsageError(
            "no interface for the fast path",
            why="the server's addresses are on the loopback interface alone",
        )
    table, native = FastTable(), list[str]()
    try:
        let_routes_be_found()
        for name in names:
            index, mac = _index(name), hardware_address(name)
            if not mac:
                raise UsageError(f"{name} is no Ethernet interface", hint="Name those that are")
            # An interface that is named has it in its driver, but for veth: that loses what it
            # sends where the other end, which cannot be seen from here, has no GRO.
            if table.attach(index, mac, native=bool(wanted.interfaces) and driver(name) != "veth"):
                native.append(name)
    except BaseException:
        table.close()
        raise
    return Chosen(table, names, tuple(native))


def _interfaces_of(network: Network, addresses: Sequence[str]) -> tuple[str, ...]:
    wanted = set(addresses)
    there = [one.name for one in network.interfaces() if one.ip in wanted and one.name != "lo"]
    return tuple(dict.fromkeys(there))


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        known = ", ".join(known for _, known in socket.if_nameindex())
        raise UsageError(f"there is no interface {name!r}", hint=f"There are: {known}") from None


def let_routes_be_found(settings: Sequence[Path] = _FORWARDING) -> None:
    """Have the kernel find routes for what this machine sends. Raises: UsageError: it may not."""
    for setting in settings:
        try:
            if setting.exists() and setting.read_text(encoding="ascii").strip() != "1":
                setting.write_text("1", encoding="ascii")
        except OSError as error:
            what = ".".join(setting.parts[3:])
            raise UsageError(
                f"{what} cannot be set to 1",
                why=error.strerror,
                hint=f"Set it before: sysctl {what}=1",
            ) from error
