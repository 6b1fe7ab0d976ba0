"""The next hops of the default routes, read from what each system offers without privileges.

Linux: /proc/net (of the namespace that the calling thread lives in). Elsewhere: the text of
`netstat -rn` (macOS and the BSDs) or `route print` (Windows). What cannot be read is unknown, and
unknown is an empty tuple.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from natkit.network import Family

_RTF_GATEWAY = 0x2  # linux/route.h
_COMMAND_PATIENCE = 3.0  # seconds; the commands answer at once unless the machine is in trouble


def default_gateways(family: Family) -> tuple[str, ...]:
    """Return the gateways of the default routes, lowest metric first. Blocks; never raises."""
    try:
        if sys.platform == "linux":
            return _from_proc(family)
        if sys.platform == "win32":
            return parse_route_print(_output("route", "print", "-4"), family)
        return parse_netstat(_output("netstat", "-rn"), family)
    except (OSError, subprocess.SubprocessError):
        return ()


def parse_proc_route(text: str) -> tuple[str, ...]:
    """Read /proc/net/route: hexadecimal words in the host's byte order."""
    found: list[tuple[int, str]] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
            continue
        if int(fields[3], 16) & _RTF_GATEWAY:
            gateway = socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
            found.append((int(fields[6]), gateway))
    return _best_first(found)


def parse_proc_ipv6_route(text: str) -> tuple[str, ...]:
    """Read /proc/net/ipv6_route; a link-local gateway gets its interface as scope."""
    found: list[tuple[int, str]] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[0].strip("0") or fields[1] != "00":
            continue
        if int(fields[8], 16) & _RTF_GATEWAY:
            gateway = ipaddress.IPv6Address(bytes.fromhex(fields[4]))
            scope = f"%{fields[9]}" if gateway.is_link_local else ""
            found.append((int(fields[5], 16), f"{gateway}{scope}"))
    return _best_first(found)


def parse_netstat(text: str, family: Family) -> tuple[str, ...]:
    """Read `netstat -rn` of macOS and the BSDs: lines that begin with "default"."""
    rows = (line.split() for line in text.splitlines())
    return _literals((row[1] for row in rows if len(row) > 1 and row[0] == "default"), family)


def parse_route_print(text: str, family: Family) -> tuple[str, ...]:
    """Read `route print -4` of Windows: destination, mask, gateway, interface, metric."""
    found = [
        (int(row[4]), row[2])
        for row in (line.split() for line in text.splitlines())
        if len(row) == 5 and row[:2] == ["0.0.0.0", "0.0.0.0"] and row[4].isdigit()
    ]
    return _literals(_best_first(found), family)


def _from_proc(family: Family) -> tuple[str, ...]:
    # "thread-self", not "self": the main thread may live in another network namespace.
    name, parse = _PROC[family]
    return parse(Path("/proc/thread-self/net", name).read_text(encoding="ascii"))


_PROC: dict[Family, tuple[str, Callable[[str], tuple[str, ...]]]] = {
    Family.IPV4: ("route", parse_proc_route),
    Family.IPV6: ("ipv6_route", parse_proc_ipv6_route),
}


def _output(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=_COMMAND_PATIENCE, check=True
    ).stdout


def _best_first(found: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(gateway for _, gateway in sorted(found, key=lambda row: row[0])))


def _literals(candidates: Iterable[str], family: Family) -> tuple[str, ...]:
    """Keep what is an address of `family`: routes over links ("link#4", "utun0") have none."""
    kept = []
    for text in candidates:
        try:
            if ipaddress.ip_address(text.partition("%")[0]).version == family:
                kept.append(text)
        except ValueError:
            continue
    return tuple(dict.fromkeys(kept))
