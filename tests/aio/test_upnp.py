"""Asking a UPnP gateway through the library, and living without the library."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.upnp import UpnpGateway, ask_gateway
from natkit.errors import NetworkUnreachable, Unsupported
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.sim import SimWorld

LOCATION = "http://127.0.0.1:5000/root.xml"


class FakeGateway:
    """Answers as the library does: strings, or a bare Exception."""

    external = "44.0.0.7"
    is_there = True
    hangs: threading.Event | None = None

    def selectigd(self, location: str) -> str:
        if self.hangs is not None:
            self.hangs.wait(10)
        if not self.is_there:
            raise Exception("No UPnP device discovered")
        return location

    def externalipaddress(self) -> str:
        if not self.external:
            raise Exception("Success")
        return self.external

    def connectiontype(self) -> str:
        return "IP_Routed"

    def statusinfo(self) -> tuple[str, int, str]:
        return "Connected", 2, "ERROR_NONE"


def install(monkeypatch: pytest.MonkeyPatch, **properties: Any) -> None:
    library = ModuleType("miniupnpc")
    library.UPnP = type("UPnP", (FakeGateway,), properties)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "miniupnpc", library)


async def test_a_gateway_is_asked_for_its_wan_side(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    found = await ask_gateway(SocketNetwork(), LOCATION, patience=5.0)
    assert found == UpnpGateway("44.0.0.7", "IP_Routed", "Connected")


@pytest.mark.parametrize("said", ["", "not an address"])
async def test_an_address_that_is_none_is_none(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    install(monkeypatch, external=said)
    found = await ask_gateway(SocketNetwork(), LOCATION, patience=5.0)
    assert found == UpnpGateway(None, "IP_Routed", "Connected")


async def test_no_gateway_there(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, is_there=False)
    with pytest.raises(NetworkUnreachable, match="No UPnP device discovered"):
        await ask_gateway(SocketNetwork(), LOCATION, patience=5.0)


async def test_a_library_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    install(monkeypatch, hangs=hangs)
    with pytest.raises(NetworkUnreachable, match=r"no answer in 0\.05 s"):
        await ask_gateway(SocketNetwork(), LOCATION, patience=0.05)
    hangs.set()


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "miniupnpc", None)
    with pytest.raises(Unsupported, match=r"pip install miniupnpc"):
        await ask_gateway(SocketNetwork(), LOCATION, patience=5.0)


async def test_the_real_library_finds_nothing_where_nothing_is() -> None:
    with pytest.raises(NetworkUnreachable, match="no UPnP gateway"):
        await ask_gateway(SocketNetwork(), "http://127.0.0.1:9/", patience=5.0)


def test_the_simulator_has_no_threads() -> None:
    async def main(world: SimWorld) -> UpnpGateway:
        return await ask_gateway(world.network("alice"), LOCATION, patience=5.0)

    with pytest.raises(Unsupported, match="upnp cannot run in the simulator"):
        sim.run(SCENARIOS["home"].topology, main)
