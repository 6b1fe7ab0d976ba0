"""UPnP-IGD through the miniupnpc library: what a gateway says of itself, and mappings on it.

The library blocks, so it runs in a thread of the network that it is to speak from. It is given the
description's URL rather than left to search, since its own search takes 1 s where there is a
gateway and 4 s where there is none (docs/decisions/0004-upnp-library.md).
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from natkit.errors import NetworkUnreachable, Unsupported
from natkit.machine import Seconds
from natkit.network import Network
from natkit.wire import TransportAddress

T = TypeVar("T")


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
    return await _in_time(network, lambda: _ask(library, location), location, patience)


class UpnpMapping:
    """A mapping on a gateway of a UDP port of ours to an outside address.

    Args:
        location: of the gateway's description, an http:// URL.
        internal: our address, on the gateway's link.
        lifetime: whole seconds asked for.
        patience: seconds to wait for everything that one call asks.
    """

    def __init__(
        self,
        network: Network,
        location: str,
        internal: TransportAddress,
        *,
        lifetime: int,
        patience: Seconds,
    ) -> None:
        self._network, self._location, self._patience = network, location, patience
        self._internal, self._lifetime = internal, lifetime
        self._port = internal.port
        self._gateway: Any = None
        self._in_turn = threading.Lock()

    async def make(self) -> TransportAddress:
        """Make the mapping, or renew it; return the outside address.

        Raises: as `ask_gateway`, and NetworkUnreachable where the gateway refuses.
        """
        library = _library()
        return await self._call(lambda: self._make(library))

    async def delete(self) -> None:
        """Delete it. Raises: as `make`."""
        await self._call(self._delete)

    async def _call(self, blocking: Callable[[], T]) -> T:
        def in_turn() -> T:  # what was given up may still be making what is to be deleted
            with self._in_turn:
                return blocking()

        return await _in_time(self._network, in_turn, self._location, self._patience)

    def _make(self, library: Any) -> TransportAddress:
        if self._gateway is None:
            self._gateway = _find(library, self._location)
        for port in dict.fromkeys((self._port, *_others(self._internal.port))):
            if not self._map(port):
                continue
            self._port = port
            ip = _canonical(_answer(self._gateway.externalipaddress))
            if ip is not None:
                return TransportAddress(ip, port)
            raise NetworkUnreachable("the gateway has no outside address")
        raise NetworkUnreachable("the gateway has others at every port that was tried")

    def _map(self, port: int) -> bool:
        """Return False where the port is somebody else's."""
        told = (port, "UDP", self._internal.ip, self._internal.port, "natkit", "")
        try:
            return bool(self._gateway.addportmapping(*told, self._lifetime))
        except Exception as error:  # the library raises nothing more precise
            why = str(error)
        if "Conflict" in why:
            return False
        if "OnlyPermanentLeases" in why and self._lifetime:
            self._lifetime = 0  # it goes when we delete it, and not before
            return self._map(port)
        raise NetworkUnreachable("the gateway refuses the mapping", why=why)

    def _delete(self) -> None:
        if self._gateway is None:
            return
        try:
            self._gateway.deleteportmapping(self._port, "UDP")
        except Exception as error:  # the library raises nothing more precise
            raise NetworkUnreachable("the gateway keeps the mapping", why=str(error)) from None


def _others(port: int) -> tuple[int, ...]:
    """Return outside ports to try where somebody else has `port`."""
    return tuple(1024 + (port + step - 1024) % 64512 for step in (1, 7919))


async def _in_time(
    network: Network, blocking: Callable[[], T], location: str, patience: Seconds
) -> T:
    def upnp() -> T:  # the name is what a network without threads complains about
        return blocking()

    try:
        async with asyncio.timeout(patience):
            return await network.in_thread(upnp)
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
    gateway = _find(library, location)
    return UpnpGateway(
        external_ip=_canonical(_answer(gateway.externalipaddress)),
        connection_type=_answer(gateway.connectiontype),
        status=_answer(lambda: gateway.statusinfo()[0]),
    )


def _find(library: Any, location: str) -> Any:
    gateway = library.UPnP()
    try:
        gateway.selectigd(location)
    except Exception as error:  # the library raises nothing more precise
        raise NetworkUnreachable(f"no UPnP gateway at {location}", why=str(error)) from None
    return gateway


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
