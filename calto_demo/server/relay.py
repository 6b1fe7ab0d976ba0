"""The STUN and TURN server inside `calto serve`: natkit's, with Calto's secret."""

from __future__ import annotations

import logging
import socket
from typing import Any, NamedTuple

from calto_demo.server.metrics import Metrics
from calto_demo.server.settings import Settings
from natkit import Relay, RequestRefused, SessionEnded, serve_relay

TLS_PORT = 5349

_log = logging.getLogger("calto.relay")


class Running(NamedTuple):
    """A relay that runs. Attributes: turn, stun: URIs, with "{host}" for this machine."""

    relay: Relay
    turn: tuple[str, ...]
    stun: tuple[str, ...]


async def open_relay(settings: Settings, secret: str, metrics: Metrics) -> Running:
    """Run it. Raises: NatkitError: an address or a port cannot be had."""
    own = own_address(settings.host)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    port, second = settings.turn_port, settings.turn_port and settings.turn_port + 1
    options: dict[str, Any] = {
        "listen": [f"udp://{host}:{port}", f"tcp://{host}:{port}", f"udp://{host}:{second}"],
        "realm": "calto",
        "secret": secret,
        "relay-address": settings.relay_address or f"{own}={own}",
        "relay-ports": settings.relay_ports,
        "user-quota": 20,
        "metrics": "off",
        "drain-time": f"{settings.drain}s",
    }
    certificate = settings.certificate
    if certificate is not None and certificate.trusted:
        # Browsers ask nobody whether to trust a TURN server: with another one it cannot work.
        options["listen"].append(f"tls://{host}:{TLS_PORT if port else 0}")
        options["tls-cert"] = str(certificate.chain)
        options["tls-key"] = None if certificate.key is None else str(certificate.key)
    relay = await serve_relay(options, lambda event: _report(event, metrics))
    metrics.watch("calto_relay_allocations", "TURN allocations", lambda: relay.allocations)
    return Running(relay, *_uris(relay))


def _uris(relay: Relay) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what clients are given: one for each transport and port, whatever the address."""
    turn, stun = dict[str, None](), dict[str, None]()
    for one in relay.listening:
        kind, port = one.transport.value, one.address.port
        scheme, carrier = ("turns", "tcp") if kind == "tls" else ("turn", kind)
        if kind == "udp":
            stun[f"stun:{{host}}:{port}"] = None
        if kind != "udp" or len(stun) == 1:
            turn[f"{scheme}:{{host}}:{port}?transport={carrier}"] = None
    return tuple(turn), tuple(stun)


def own_address(host: str) -> str:
    """Return where to relay from: `host`, or behind a wildcard what leads to the internet."""
    family, somewhere = {
        "0.0.0.0": (socket.AF_INET, "192.0.2.1"),
        "::": (socket.AF_INET6, "2001:db8::1"),
    }.get(host, (None, ""))
    if family is None:
        return host
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((somewhere, 9))  # sends nothing; the system picks the source
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1" if family is socket.AF_INET else "::1"


def _report(event: object, metrics: Metrics) -> None:
    """Write down what a call took through the relay, and who was not let in."""
    match event:
        case SessionEnded(session=session, carried=carried, lasted=lasted):
            relayed = 0 if carried is None else carried.to_peers_bytes + carried.from_peers_bytes
            metrics.relayed.inc(relayed)
            user, _, call = session.user.partition(":")
            fields = {"user": user, "call": call, "bytes": relayed, "seconds": round(lasted, 1)}
            _log.info("relayed", extra=fields)
        case RequestRefused(routine=False):
            fields = {"code": event.code, "why": event.why, "user": event.user}
            _log.info("relay refused", extra=fields)
