"""What each option of a relay means, as a flag or in a TOML file: from texts to values.

Rule of the file: every refusal says what is wrong, why, and what to write.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from natkit.aio.turn_ports import RelayAddress
from natkit.errors import UsageError
from natkit.machine import Seconds
from natkit.tools.relay_fast_path import FastPath, parse_fast_path
from natkit.turn.forwarding import Transport
from natkit.turn.policy import networks
from natkit.wire import TransportAddress

DEFAULT_PORT, DEFAULT_TLS_PORT = 3478, 5349  # RFC 8656 §4.1
DEFAULT_RELAY_PORTS = "49152-65535"
"""The dynamic ports (RFC 6335 §6), which RFC 8656 §7.2 proposes."""

DEFAULT_DRAIN: Seconds = 30.0
"""How long calls may go on after SIGTERM; systemd waits 90 s before it kills."""

MOST_WORKERS = 64
"""A link between each two of them is 2,016 descriptors then."""

DEFAULT_METRICS = TransportAddress("127.0.0.1", 9641)
"""Where coturn has its metrics, and this machine alone can read them."""

Options: TypeAlias = Mapping[str, Any]
"""Texts, numbers or lists of them by option name ("relay-ports")."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where clients may come. The address may be a wildcard; port 0: any that is free."""

    transport: Transport
    address: TransportAddress

    def __str__(self) -> str:
        return f"{self.transport.value}://{self.address}"


class Metrics(NamedTuple):
    """Where to serve metrics and health.

    Attributes:
        address: None: nowhere.
        told:    somebody asked for it, rather than that it is the default.
    """

    address: TransportAddress | None
    told: bool


def read_file(path: Path) -> Options:
    """Read a TOML file whose keys are options.

    Raises: UsageError: it cannot be read, or an option is not of its type.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot use the configuration {path}",
            why=str(error),
            hint='Write it in TOML with the names of the options: relay-ports = "50000-50999"',
        ) from error
    for name, value in found.items():
        _check_type(path, name, value)
    return found


def _check_type(path: Path, name: str, value: object) -> None:
    """Refuse a value that would be taken for what it is not: no number is a text, nor a list."""
    if name in _NUMBERS:
        fits, kind, example = type(value) is int, "a number", "3"
    elif name in _LISTS:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        kind, example = "a list of texts", '["…"]' if not isinstance(value, str) else f'["{value}"]'
    else:
        fits, kind = isinstance(value, str), "a text"
        example = '"30s"' if name == "drain-time" else '"…"'
    if not fits and name in READERS:
        raise UsageError(
            f"{name} must be {kind}",
            why=f"in {path} it is {value!r}",
            hint=f"Write {name} = {example}",
        )


def texts_of(name: str, value: object) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    if any(isinstance(one, (dict, list, bool)) for one in values):
        raise UsageError(f"{name} must be a text or a list of texts", why=f"it is {value!r}")
    return [str(one) for one in values]


def _listen(texts: Sequence[str]) -> tuple[Listen, ...]:
    if not texts:
        texts = ["udp://0.0.0.0", "udp://[::]", "tcp://0.0.0.0", "tcp://[::]"]
    return tuple(dict.fromkeys(parse_listen(text) for text in texts))


_LISTEN = re.compile(r"(\w+)://(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?")


def parse_listen(text: str) -> Listen:
    """Read "udp://IP:PORT". Raises: UsageError."""
    match = _LISTEN.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("it is not of the form TRANSPORT://IP:PORT")
        transport = Transport(match[1].lower())
        ip = str(ipaddress.ip_address(match[2] or match[3]))
        secured = transport in (Transport.TLS, Transport.DTLS)
        port = int(match[4] or (DEFAULT_TLS_PORT if secured else DEFAULT_PORT))
        if port > 65535:
            raise ValueError(f"{port} is no port")
    except ValueError as error:
        raise UsageError(
            f"cannot listen on {text!r}",
            why=str(error),
            hint="Write udp, tcp, tls or dtls with an IP: tls://203.0.113.7:5349, udp://[::]:3478",
        ) from None
    return Listen(transport, TransportAddress(ip, port))


def _realm(texts: Sequence[str]) -> str:
    realm = _one("realm", texts)
    if realm == "":
        raise UsageError("the realm is empty", hint="Write a name, for example turn.example.org")
    return realm or "natkit"


_EXAMPLE_SECRET = "change-me"
"""What the example configuration has, which everybody knows."""


def _secrets(texts: Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        if not text.strip():
            why = "with it, whoever wants could mint names; is a variable not set?"
            raise UsageError("a secret is empty", why=why, hint="Make one: openssl rand -hex 32")
        if text.startswith(_EXAMPLE_SECRET):
            why = "everybody knows it, and could mint names"
            raise UsageError(
                "the secret is that of the example", why=why, hint="Make one: openssl rand -hex 32"
            )
    return tuple(texts)


def _users(texts: Sequence[str]) -> dict[str, str]:
    users = {}
    for text in texts:
        name, colon, password = text.partition(":")
        if not (name and colon and password):
            hint = "Write NAME:PASSWORD, for example --user alice:wonderland"
            raise UsageError(f"--user {name}: there is no password", hint=hint)
        users[name] = password
    return users


def _relay_addresses(texts: Sequence[str]) -> tuple[RelayAddress, ...]:
    found = []
    for text in texts:
        ip, _, advertised = text.partition("=")
        try:
            local, known = _same_version(ip, advertised or ip)
        except ValueError as error:
            hint = "Write IP, or LOCAL=PUBLIC behind a 1:1 NAT: 10.0.0.5=203.0.113.7"
            raise UsageError(f"cannot relay from {text!r}", why=str(error), hint=hint) from None
        found.append(RelayAddress(local, known, told=bool(advertised)))
    return tuple(found)


def _same_version(*texts: str) -> list[str]:
    """Return real addresses of one IP version, in their usual form. Raises: ValueError."""
    ips = [ipaddress.ip_address(text) for text in texts]
    if len({ip.version for ip in ips}) > 1:
        raise ValueError("one is IPv4 and the other IPv6")
    if any(ip.is_unspecified for ip in ips):
        raise ValueError("clients and peers need a real address")
    return [str(ip) for ip in ips]


def _anycast(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        shared, _, own = text.partition("=")
        try:
            shared, own = _same_version(shared, own)
            if shared == own:
                raise ValueError("clients would be sent to where they are")
        except ValueError as error:
            hint = "Write the address of several servers, then this one's: 198.51.100.1=203.0.113.7"
            raise UsageError(f"anycast {text!r} is none", why=str(error), hint=hint) from None
        found[shared] = own
    return found


def _ports(texts: Sequence[str]) -> range:
    text = _one("relay-ports", texts) or DEFAULT_RELAY_PORTS
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= 65535):
        hint = f"Write the first and the last one: {DEFAULT_RELAY_PORTS}"
        raise UsageError(f"{text!r} is no range of ports", hint=hint)
    return range(int(first), int(last) + 1)


def _port(texts: Sequence[str]) -> int | None:
    text = _one("alternate-port", texts)
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise UsageError(f"alternate-port {text!r} is no port", hint="Write a free one: 3479")
    return int(text)


def _one(name: str, texts: Sequence[str]) -> str | None:
    if len(texts) > 1:
        raise UsageError(f"{name} can be given once", why=f"given: {', '.join(texts)}")
    return texts[0] if texts else None


def _count(name: str) -> Callable[[Sequence[str]], int | None]:
    def read(texts: Sequence[str]) -> int | None:
        text = _one(name, texts)
        if text is None:
            return None
        if not text.isdecimal() or int(text) == 0:
            raise UsageError(f"{name} {text!r} is no number above 0", hint="Leave it out: no limit")
        return int(text)

    return read


def _alternates(texts: Sequence[str]) -> tuple[TransportAddress, ...]:
    try:
        found = tuple(parse_listen(f"udp://{text}").address for text in texts)
    except UsageError as error:
        raise UsageError(
            f"clients cannot be sent to {', '.join(texts)}",
            why=error.why,
            hint="Write 203.0.113.8:3478 or [2001:db8::8]:3478; ALTERNATE-SERVER takes no name",
        ) from None
    if len({address.is_ipv6 for address in found}) < len(found):
        raise UsageError(
            f"alternate-server has two addresses of one IP version: {', '.join(texts)}",
            why="a client is sent to one, of its own IP version",
        )
    return found


def _workers(texts: Sequence[str]) -> int:
    text = _one("workers", texts) or "1"
    if not text.isdecimal() or int(text) == 0:
        hint = "Write how many processes share the work: 4; left out, there is one"
        raise UsageError(f"workers {text!r} is no number above 0", hint=hint)
    count = int(text)
    if count > MOST_WORKERS:
        raise UsageError(
            f"{count} workers are too many",
            why="one serves thousands of calls, and more than there are cores take turns",
            hint=f"Give at most {MOST_WORKERS}; as many as the machine has cores is a good number",
        )
    return count


def _fast_path(texts: Sequence[str]) -> FastPath:
    text = _one("fast-path", texts)
    return FastPath() if text is None else parse_fast_path(text)


_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)", re.ASCII)
_UNITS: dict[str, Seconds] = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(texts: Sequence[str]) -> Seconds:
    text = _one("drain-time", texts)
    if text is None:
        return DEFAULT_DRAIN
    match = _TIME.fullmatch(text)
    if match is None:
        raise UsageError(f"drain-time {text!r} is no length of time", hint="Write 30s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def _metrics(texts: Sequence[str]) -> Metrics:
    text = _one("metrics", texts)
    if text is None:
        return Metrics(DEFAULT_METRICS, told=False)
    if text == "off":
        return Metrics(None, told=True)
    try:
        return Metrics(parse_listen(f"tcp://{text}").address, told=True)
    except UsageError as error:
        raise UsageError(
            f"cannot serve metrics on {text!r}", why=error.why, hint="Write 127.0.0.1:9641, or off"
        ) from None


def _path(name: str) -> Callable[[Sequence[str]], Path | None]:
    def read(texts: Sequence[str]) -> Path | None:
        text = _one(name, texts)
        return None if text is None else Path(text)

    return read


READERS: dict[str, Callable[[Sequence[str]], Any]] = {
    "listen": _listen,
    "alternate-port": _port,
    "realm": _realm,
    "user": _users,
    "secret": _secrets,
    "relay-address": _relay_addresses,
    "relay-ports": _ports,
    "allow-peer": networks,
    "deny-peer": networks,
    "tls-cert": _path("tls-cert"),
    "tls-key": _path("tls-key"),
    "user-quota": _count("user-quota"),
    "total-quota": _count("total-quota"),
    "max-bps": _count("max-bps"),
    "user-max-bps": _count("user-max-bps"),
    "metrics": _metrics,
    "drain-time": _seconds,
    "alternate-server": _alternates,
    "anycast": _anycast,
    "workers": _workers,
    "fast-path": _fast_path,
}

_LISTS = frozenset({"listen", "user", "secret", "relay-address", "alternate-server", "anycast"}) | {
    "allow-peer",
    "deny-peer",
}
"""Options that may be repeated; in a file, lists."""

_NUMBERS = frozenset({"alternate-port", "user-quota", "total-quota", "max-bps", "user-max-bps"}) | {
    "workers"
}
"""Options that are whole numbers; all others are texts."""
