"""All that a relay is told, in flags or in a TOML file of the same names, and whether its parts fit
together.

What an option means is in natkit.tools.relay_options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from natkit.aio.turn_ports import RelayAddress
from natkit.errors import UsageError
from natkit.machine import Seconds
from natkit.tools.relay_fast_path import FastPath, FastPathMode
from natkit.tools.relay_options import DEFAULT_PORT, READERS, Listen, Metrics, Options, texts_of
from natkit.turn.forwarding import Transport
from natkit.turn.policy import IpNetwork
from natkit.wire import TransportAddress

_BROWSER_PORTS = frozenset({53, 80, 443})
"""The ports below 1024 on which Chromium (libwebrtc) speaks TURN at all."""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """All of it; `read_config` makes one.

    Attributes:
        alternate_port: second port over UDP for RFC 5780; None: that is not spoken.
        relay_addresses: empty: chosen from the listening addresses.
        user_quota, total_quota: allocations; None: no limit.
        max_bps:   bytes a second that an allocation may carry each way; None: no limit.
        user_max_bps: the same for all allocations of a user.
        drain:     seconds that allocations may go on after the first SIGTERM.
        alternate_servers: where clients are sent meanwhile, by IP version.
        anycast:   IPs that other servers have, too, each with our own that clients are sent to.
        workers:   processes that share the work.
        fast_path: whether the kernel forwards, and where.
    """

    listen: tuple[Listen, ...]
    alternate_port: int | None
    realm: str
    users: Mapping[str, str]
    secrets: tuple[str, ...]
    relay_addresses: tuple[RelayAddress, ...]
    relay_ports: range
    allow_peer: tuple[IpNetwork, ...]
    deny_peer: tuple[IpNetwork, ...]
    tls_cert: Path | None
    tls_key: Path | None
    user_quota: int | None
    total_quota: int | None
    max_bps: int | None
    user_max_bps: int | None
    metrics: Metrics
    drain: Seconds
    alternate_servers: tuple[TransportAddress, ...]
    anycast: Mapping[str, str]
    workers: int
    fast_path: FastPath

    def __repr__(self) -> str:
        return f"<RelayConfig of {', '.join(map(str, self.listen))}>"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, though not for everybody."""
        found = [
            f"{one}: browsers refuse TURN on port {one.address.port};"
            " below 1024 they take 53, 80 and 443"
            for one in self.listen
            if 0 < one.address.port < 1024 and one.address.port not in _BROWSER_PORTS
        ]
        if self.alternate_servers and not self.secrets:
            # libwebrtc goes there with the nonce it has, and gives up at a 438.
            found.append(
                "--alternate-server without a --secret: nonces of this server are stale there, and"
                " browsers give up; let both have the same secret first"
            )
        useless = self._fast_path_useless()
        if useless is not None:
            found.append(f"--fast-path: no packet can take it, {useless}")
        return tuple(found)

    def _fast_path_useless(self) -> str | None:
        """Return why nothing goes by the kernel whatever it can; None: something may, or is off."""
        if self.fast_path.mode is FastPathMode.OFF:
            return None
        for name, limit in (("max-bps", self.max_bps), ("user-max-bps", self.user_max_bps)):
            if limit is not None:
                return f"since --{name} limits every allocation, and the kernel counts no bytes"
        if all(one.transport is not Transport.UDP for one in self.listen):
            return "since clients come over UDP for that, and there is no --listen udp://"
        return None


def read_config(*sources: Options) -> RelayConfig:
    """Return the configuration; of each option the first source that has it counts.

    Raises: UsageError: an option is unknown, or makes no sense as written.
    """
    given: dict[str, Any] = {}
    for source in reversed(sources):
        given.update({k: v for k, v in source.items() if v is not None and v != ()})
    unknown = sorted(set(given) - set(READERS))
    if unknown:
        known = ", ".join(READERS)
        raise UsageError(f"there is no option {unknown[0]!r}", hint=f"There are: {known}")
    values = {name: read(texts_of(name, given.get(name))) for name, read in READERS.items()}
    config = RelayConfig(**{_FIELDS.get(n, n.replace("-", "_")): v for n, v in values.items()})
    return _checked(config)


def _checked(config: RelayConfig) -> RelayConfig:
    """Return `config` where its parts fit together."""
    if not config.users and not config.secrets:
        raise UsageError(
            "nobody could relay",
            why="there is neither a user nor a secret",
            hint="Give --user NAME:PASSWORD, or the --secret that a web application shares",
        )
    secured = [one for one in config.listen if one.transport in (Transport.TLS, Transport.DTLS)]
    if secured and config.tls_cert is None:
        raise UsageError(
            f"{secured[0]} has no certificate",
            hint="Give --tls-cert FULLCHAIN.pem and --tls-key PRIVKEY.pem",
        )
    # Odd ones at either end are without the neighbour that EVEN-PORT may ask for.
    first, after = config.relay_ports.start + 1 & ~1, config.relay_ports.stop & ~1
    if config.workers > 1 and after - first < 2 * config.workers:
        raise UsageError(
            f"--relay-ports are {len(config.relay_ports)}, too few for {config.workers} workers",
            why="each relays from a part of them, of two or more",
            hint="Give more ports, or fewer --workers",
        )
    _check_anycast(config)
    if config.tls_key is not None and config.tls_cert is None:
        raise UsageError("--tls-key needs --tls-cert")
    return config


def _check_anycast(config: RelayConfig) -> None:
    for shared in config.anycast:
        if any(address.ip == shared for address in config.relay_addresses):
            raise UsageError(
                f"cannot relay from {shared}, which is anycast",
                why="what peers send would reach another server",
                hint="Give the --relay-address that is this server's own",
            )
        wildcard = "::" if ":" in shared else "0.0.0.0"
        if not any(one.address.ip in (shared, wildcard) for one in config.listen):
            raise UsageError(
                f"nobody comes to {shared}, which is anycast",
                hint=f"Listen there: --listen udp://{TransportAddress(shared, DEFAULT_PORT)}",
            )


_FIELDS = {
    "user": "users",
    "secret": "secrets",
    "relay-address": "relay_addresses",
    "drain-time": "drain",
    "alternate-server": "alternate_servers",
}

_RELOADED = {
    "users": "users",
    "secrets": "secrets",
    "allow_peer": "--allow-peer",
    "deny_peer": "--deny-peer",
    "user_quota": "--user-quota",
    "total_quota": "--total-quota",
    "max_bps": "--max-bps (for new allocations)",
    "user_max_bps": "--user-max-bps (for users who make new allocations)",
    "realm": "--realm",
    "drain": "--drain-time",
    "alternate_servers": "--alternate-server",
    "anycast": "--anycast",
    "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
}
_RESTARTED = {
    "listen": "--listen",
    "alternate_port": "--alternate-port",
    "relay_addresses": "--relay-address",
    "relay_ports": "--relay-ports",
    "metrics": "--metrics",
    "workers": "--workers",
    "fast_path": "--fast-path",
}


def differences(old: RelayConfig, new: RelayConfig) -> tuple[str, ...]:
    """Return in words what `new` changes, what has to wait for a restart included."""
    changed = [words for name, words in _RELOADED.items() if _differ(old, new, name)]
    kept = [words for name, words in _RESTARTED.items() if _differ(old, new, name)]
    return (*changed, *(f"{words} changed, which needs a restart" for words in kept))


def without_restart(old: RelayConfig, new: RelayConfig) -> RelayConfig:
    """Return what of `new` a server that runs with `old` can take: all that needs no restart."""
    return replace(new, **{name: getattr(old, name) for name in _RESTARTED})


def _differ(old: RelayConfig, new: RelayConfig, name: str) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
