"""UPnP-IGD through the miniupnpc library: what a gateway says of itself.

The library blocks, so it runs in a thread of the network that it is to speak from. It is given the
description's URL rather than left to search, since its own search takes 1 s where there is a
gateway and 4 s where there is none (docs/decisions/0004-upnp-library.md).
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from natkit.errors import NetworkUnreachable, Unsupported
from natkit.machine import Seconds
from natkit.network import Network


@dataclass(frozen=True, slots=True)
class UpnpGateway:
    """A gateway's answers.

    Attributes:
        external_ip:     its outside address, canonical; None: it did not say.
        connection_type: of its WAN connection ("IP_Routed"); empty: it did not say.
        status:          of its WAN connection ("Connected"); empty: it did not say.
    """

    external_ip: str | None
    connection_type: str
    status: str


async def ask_gateway(network: Network, location: str, *, patience: Seconds) -> UpnpGateway:
    """Ask the gateway whose description is at `location` (an http:// URL) about its WAN side.

    Args:
        patience: seconds to wait for all answers together. The library cannot be interrupted: its
                  thread may live for some seconds more.
    Raises:
        Unsupported:        the library is not installed, or `network` has no threads.
        NetworkUnreachable: no gateway there, or no answer in time.
    """
    library = _library()

    def upnp() -> UpnpGateway:  # the name is what a network without threads complains about
        return _ask(library, location)

    try:
        return await asyncio.wait_for(network.in_thread(upnp), patience)
    except TimeoutError:
        why = f"no answer in {patience:g} s"
        raise NetworkUnreachable(f"cannot ask the gateway at {location}", why=why) from None


def _library() -> Any:
    """Return the module. It has no type stubs, and it may be missing."""
    try:
        return importlib.import_module("miniupnpc")
    except ImportError:
        raise Unsupported(
            "the UPnP library is not installed", hint="pip install miniupnpc"
        ) from None


def _ask(library: Any, location: str) -> UpnpGateway:
    """Blocking: fetch the description, then ask its WAN connection service."""
    gateway = library.UPnP()
    try:
        gateway.selectigd(location)
    except Exception as error:  # the library raises nothing more precise
        raise NetworkUnreachable(f"no UPnP gateway at {location}", why=str(error)) from None
    return UpnpGateway(
        external_ip=_canonical(_answer(gateway.externalipaddress)),
        connection_type=_answer(gateway.connectiontype),
        status=_answer(lambda: gateway.statusinfo()[0]),
    )


def _answer(call: Callable[[], str]) -> str:
    """Return what a SOAP call answers; empty where it fails."""
    try:
        return call()
    except Exception:  # the library raises nothing more precise
        return ""


def _canonical(ip: str) -> str | None:
    try:
        return str(ipaddress.ip_address(ip))
    except ValueError:
        return None
