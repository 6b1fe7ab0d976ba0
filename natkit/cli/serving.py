"""What commands that serve share: addresses to listen on, a certificate, the signal to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
from pathlib import Path

from natkit.cli.params import HostPort
from natkit.errors import UsageError
from natkit.tools.stun_serve import server_context
from natkit.wire import TransportAddress


def listen_address(at: HostPort, port: int) -> TransportAddress:
    """Return the address to bind; `port` where none is given. Raises: UsageError: it is a name."""
    try:
        ip = str(ipaddress.ip_address(at.host))
    except ValueError:
        raise UsageError(f"--listen {at.host} is not an IP address") from None
    return TransportAddress(ip, port if at.port is None else at.port)


def given_certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what --tls-cert and --tls-key stand for. Raises: UsageError: they are of no use."""
    if certificate is None and key is not None:
        raise UsageError("--tls-key needs --tls-cert")
    return None if certificate is None else server_context(certificate, key)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set, in place of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop
