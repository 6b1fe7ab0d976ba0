"""Types of option values: lengths of time, parts of a whole, and hosts with a port."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import click

from natkit.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?", re.ASCII)


class Duration(click.ParamType[float]):
    """A length of time: "500ms", "30s", "2m", "1h"; a bare number is seconds.

    Gives seconds, > 0.
    """

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` in seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a length of time; write 500ms, 30s or 2m", param, ctx)
        seconds = float(match[1]) * _UNITS[match[2] or "s"]
        if seconds <= 0:
            self.fail(f"{value!r} is no time at all", param, ctx)
        return seconds


class Share(click.ParamType[float]):
    """A part of a whole: "10%" or "0.1". Gives a number, 0 .. 1."""

    name = "share"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` as a number."""
        number, percent, rest = str(value).strip().partition("%")
        try:
            share = float(number) / (100 if percent else 1)
        except ValueError:
            share = -1.0
        if rest or not 0 <= share <= 1:
            self.fail(f"{value!r} is not a share; write 10% or 0.1", param, ctx)
        return share


class Number(click.FloatRange):
    """A number in a range; "nan" and "inf" are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return `value` as a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to reckon with", param, ctx)
        return number


class HostPort(NamedTuple):
    """A host name or an IP address without brackets, and a port where one was given."""

    host: str
    port: int | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """Split "host", "host:port", "[v6]:port", "[v6]" or a bare IPv6 address.

    Raises: ValueError: it is none of these; the message says what is wrong.
    """
    text = text.strip()
    if _is_ipv6(text):
        return HostPort(text, None)
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or not _is_ipv6(host):
            raise ValueError(f"{text!r} has no IPv6 address between the brackets")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{text!r} has something other than a port after the bracket")
        return HostPort(host, _port(rest[1:]) if rest else None)
    host, colon, port = text.partition(":")
    if not host or any(c.isspace() or c in "/@?#[]" for c in host):
        raise ValueError(f"{text!r} is not a host; write HOST, HOST:PORT or [IPv6]:PORT")
    if ":" in port:
        raise ValueError(f"{text!r} has too many colons; write an IPv6 address as [IPv6]:PORT")
    return HostPort(host, _port(port) if colon else None)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ValueError(f"{text!r} is not a port; it is a number from 1 to 65535")
    return int(text)


class HostPortType(click.ParamType[HostPort]):
    """ "HOST", "HOST:PORT" or "[IPv6]:PORT"; gives a `HostPort`."""

    name = "host[:port]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> HostPort:
        """Return `value` as a `HostPort`."""
        if isinstance(value, HostPort):
            return value
        try:
            return parse_host_port(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NewFile(click.ParamType[Path]):
    """A file to be written, or to be replaced; gives its path.

    Its folder is looked at right away: what is to be written may take minutes to find out.
    """

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return `value` as a path."""
        path = Path(str(value))
        if path.is_dir():
            self.fail(f"{str(value)!r} is a folder; name a file in it", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}; make it first", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{str(value)!r} may not be written", param, ctx)
        return path


def write_new(path: Path, text: str) -> None:
    """Write a `NewFile`. Raises: UsageError: it cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "Give a file on a disk that has room for it"
        why = error.strerror or str(error)
        raise UsageError(f"cannot write {path}", why=why, hint=hint) from error


DURATION = Duration()
SHARE = Share()
HOST_PORT = HostPortType()
NEW_FILE = NewFile()
