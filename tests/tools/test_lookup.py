"""Who is there to be asked: no address, no name and no route are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from natkit.errors import NetworkUnreachable, UsageError
from natkit.network import Family, Interface
from natkit.tools.lookup import RESOLVE_BUDGET, look_up_servers
from natkit.wire import TransportAddress

BOTH = (Family.IPV4, Family.IPV6)
NAMES = {"both.example": ("192.0.2.7", "2001:db8::7"), "four.example": ("192.0.2.8",)}


class Host:
    """What a look-up asks of a network."""

    def __init__(self, *addresses: str, dns: bool = True) -> None:
        self._addresses = addresses
        self._dns = dns

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        if not self._dns:
            await asyncio.Event().wait()
        return tuple(ip for ip in NAMES.get(host, ()) if (":" in ip) == (family is Family.IPV6))

    def source_for(self, remote: TransportAddress) -> str | None:
        return next((ip for ip in self._addresses if (":" in ip) == remote.is_ipv6), None)

    def interfaces(self) -> tuple[Interface, ...]:
        return tuple(Interface("eth0", ip, 24) for ip in self._addresses)


async def found(
    host: Any, *names: str, families: Sequence[Family] = BOTH, interface: str | None = None
) -> dict[Family, Any]:
    return await look_up_servers(host, [(name, 3478) for name in names], families, interface)


async def error(host: Host, *names: str, **how: Any) -> NetworkUnreachable:
    with pytest.raises(NetworkUnreachable) as caught:
        await found(host, *names, **how)
    return caught.value


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natkit.tools.lookup.RESOLVE_BUDGET", 0.01)


async def test_each_ip_version_has_its_servers_in_order() -> None:
    servers = await found(Host("10.0.0.2", "2001:db8:1::2"), "four.example", "both.example")
    assert [name for name, _ in servers[Family.IPV4]] == ["four.example", "both.example"]
    assert servers[Family.IPV6] == (("both.example", TransportAddress("2001:db8::7", 3478)),)


async def test_an_ip_version_without_servers_says_why() -> None:
    assert (
        "no server has an IPv6 address" in (await found(Host("10.0.0.2"), "four.example")).values()
    )
    assert "no route over IPv6" in (await found(Host("10.0.0.2"), "both.example")).values()


def test_a_dead_dns_costs_two_seconds_at_most() -> None:
    assert RESOLVE_BUDGET <= 2.0


async def test_a_dead_dns_is_not_taken_for_a_missing_route() -> None:
    told = await error(Host("10.0.0.2", dns=False), "both.example")
    assert "could not be looked up" in told.what
    assert "DNS" in str(told.why)
    assert "--server ADDRESS" in str(told.hint)


async def test_without_a_route_a_dead_dns_is_no_wonder() -> None:
    assert "Connect to a network" in str((await error(Host(dns=False), "both.example")).hint)
    assert "Connect to a network" in str((await error(Host(), "both.example")).hint)


async def test_names_that_the_dns_does_not_know_are_named() -> None:
    told = await error(Host("10.0.0.2"), "typo.example")
    assert told.what == "no STUN server has an IPv4 or IPv6 address"
    assert "typo.example" in str(told.why)


async def test_an_interface_with_one_ip_version_is_used_for_that_one() -> None:
    servers = await found(Host("2001:db8:1::2"), "both.example", interface="eth0")
    assert servers[Family.IPV4] == "interface eth0 has no IPv4 address"
    assert len(servers[Family.IPV6]) == 1


async def test_a_link_local_address_leads_to_no_server() -> None:
    servers = await found(Host("10.0.0.2", "fe80::1"), "both.example", interface="eth0")
    assert servers[Family.IPV6] == "interface eth0 has no IPv6 address"


async def test_an_interface_that_cannot_serve_ends_it_before_the_dns_is_asked() -> None:
    host = Host("10.0.0.2", dns=False)
    told = await error(host, "both.example", families=(Family.IPV6,), interface="eth0")
    assert told.what == "interface eth0 has no IPv6 address"
    with pytest.raises(UsageError, match="eth7"):
        await found(host, "both.example", interface="eth7")
