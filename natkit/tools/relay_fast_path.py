"""Whether a relay forwards in the kernel, on which interfaces, and why not where it does not."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from natkit.errors import NatkitError, UsageError
from natkit.network import Network
from natkit.tools.relay_interfaces import Choice, Interface, named, with_addresses

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import FastTable
    from natkit.tools.relay_forwarding import Forwarding


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
        without:    where it does not, though the server's addresses are there, each with why.
        why_not:    in one line, where it does not.
        forwarding: the kernel's settings that it needs; None: none.
    """

    table: FastTable | None
    interfaces: tuple[Interface, ...] = ()
    native: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    why_not: str | None = None
    forwarding: Forwarding | None = None

    def __str__(self) -> str:
        """The interfaces and how: "eth0 (native), eth1 (generic), not tun0 (why not)"."""
        names = [one.name for one in self.interfaces]
        modes = [f"{name} ({'native' if name in self.native else 'generic'})" for name in names]
        return ", ".join([*modes, *(f"not {one}" for one in self.without)])

    def gone(self) -> tuple[str, ...]:
        """Return which interfaces are not there any more, or are new ones of that name."""
        there = {name: number for number, name in socket.if_nameindex()}
        return tuple(one.name for one in self.interfaces if there.get(one.name) != one.number)

    def put_back(self) -> None:
        """Have the kernel's settings be what they were. Twice is harmless."""
        if self.forwarding is not None:
            self.forwarding.close()


def open_fast_path(network: Network, wanted: FastPath, addresses: Sequence[str]) -> Chosen:
    """Have the kernel forward what it can, if that is wanted and possible.

    Args:   addresses: IPs that clients and peers send to.
    Raises: NatkitError: it was asked for by name, and is not possible.
    """
    return _tried(wanted, lambda: _opened(network, wanted, addresses))


def check_fast_path(network: Network, wanted: FastPath, addresses: Sequence[str]) -> str | None:
    """Find out whether `open_fast_path` would do it: the kernel takes the program and forgets it.

    Whether another program is at an interface is not looked at: the server that runs has one.

    Args:    as of `open_fast_path`.
    Returns: in one line why packets would take the portable way; None: nothing is against it.
    Raises:  NatkitError: it was asked for by name, and is not possible.
    """
    return _tried(wanted, lambda: _checked(network, wanted, addresses)).why_not


def _tried(wanted: FastPath, attempt: Callable[[], Chosen]) -> Chosen:
    if wanted.mode is FastPathMode.OFF:
        return Chosen(None, why_not="--fast-path is off")
    try:
        return attempt()
    except (NatkitError, OSError) as error:
        told = error if isinstance(error, NatkitError) else _short_of(error)
        if wanted.mode is FastPathMode.XDP:
            raise told from error
        return Chosen(None, why_not=str(told).splitlines()[0])


def _short_of(error: OSError) -> NatkitError:
    """Word what the machine has not enough of: memory, descriptors, an interface just gone."""
    hint = "The process needs CAP_NET_ADMIN" if error.errno == errno.EPERM else None
    return NatkitError("the fast path cannot be made", why=error.strerror or str(error), hint=hint)


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
    from natkit.dataplane.kernel.offloads import driver
    from natkit.dataplane.kernel.table import FastTable

    interfaces, without = _choice(network, wanted, addresses)
    table, native = FastTable(), list[str]()
    forwarding = None
    try:
        _check_ipsec()
        forwarding = let_routes_be_found(interfaces=[a.name for a in interfaces if a.hardware])
        _keep(forwarding)
        for one in interfaces:
            # An interface that is named has it in its driver, but for veth: that loses what it
            # sends where the other end, which cannot be seen from here, has no GRO.
            in_driver = bool(wanted.interfaces) and driver(one.name) != "veth"
            if table.attach(one.number, one.mac, native=in_driver):
                native.append(one.name)
    except BaseException:
        table.close()
        if forwarding is not None:
            forwarding.close()
        raise
    return Chosen(table, interfaces, tuple(native), without, forwarding=forwarding)


def _checked(network: Network, wanted: FastPath, addresses: Sequence[str]) -> Chosen:
    from natkit.dataplane.kernel.table import FastTable

    interfaces, without = _choice(network, wanted, addresses)
    FastTable(1).close()
    _check_ipsec()
    from natkit.tools.relay_forwarding import SETTINGS  # for Linux alone, which this is

    for setting in SETTINGS:
        if setting.exists():
            _check_writable(setting)
    return Chosen(None, interfaces, without=without)


def _choice(network: Network, wanted: FastPath, addresses: Sequence[str]) -> Choice:
    if wanted.interfaces:
        return named(wanted.interfaces)
    return with_addresses(network, addresses)


def _check_ipsec() -> None:
    """Refuse where a packet may have to be encrypted or blocked: XDP would send it on as it is."""
    from natkit.dataplane.kernel.netlink import has_ipsec_policies

    if has_ipsec_policies():
        raise NatkitError(
            "this machine has policies of IPsec",
            why="the fast path would forward in clear what they encrypt or block",
            hint="See them with `ip xfrm policy`; leave --fast-path out, or end what makes them",
        )


def _check_writable(setting: Path) -> None:
    """Write what is there, where it is not what it should be: the kernel asks the same for it."""
    try:
        value = setting.read_text(encoding="ascii")
        if value.strip() != "1":
            setting.write_text(value, encoding="ascii")
    except OSError as error:
        raise _cannot_be_set(setting, error) from error


def let_routes_be_found(
    settings: Sequence[Path] | None = None, interfaces: Sequence[str] = ()
) -> Forwarding:
    """Have the kernel find routes for what this machine sends.

    Args:   interfaces: whose VLAN tags are to be left in the frames.
    Raises: UsageError: it may not.
    """
    from natkit.tools.relay_forwarding import SETTINGS, Forwarding  # for Linux alone

    settings = SETTINGS if settings is None else settings
    try:
        return Forwarding(settings, interfaces)
    except OSError as error:
        made = Path(error.filename or settings[0])
        raise _cannot_be_set(made, error) from error


def _keep(forwarding: Forwarding) -> None:
    try:
        forwarding.keep()
    except OSError as error:
        raise NatkitError(
            "what the fast path sets cannot be put back at the end",
            why=f"no process for it can be started ({error.strerror})",
            hint="Let the server have more processes (ulimit -u, TasksMax), or make the settings"
            f" before: sysctl {' '.join(f'{name}=1' for name in map(_dotted, forwarding.made))}",
        ) from error


def _dotted(setting: Path) -> str:
    """Return a setting's name as sysctl has it."""
    return ".".join(setting.parts[3:])


def _cannot_be_set(setting: Path, error: OSError) -> UsageError:
    what = _dotted(setting)
    return UsageError(
        f"{what} cannot be set to 1", why=error.strerror, hint=f"Set it before: sysctl {what}=1"
    )
