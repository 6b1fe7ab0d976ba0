"""Where a relay answers NAT behaviour tests: on four endpoints that can be reached, or nowhere."""

from __future__ import annotations

from typing import cast

import pytest

from natkit.errors import UsageError
from natkit.network import Interface, Network
from natkit.stun.server import Site
from natkit.tools.relay_config import read_config
from natkit.tools.relay_discovery import discovery_sites


class Machine:
    """A network of which only the addresses are asked."""

    def __init__(self, *ips: str) -> None:
        self._ips = ips

    def interfaces(self) -> list[Interface]:
        return [Interface("eth0", ip, 24) for ip in self._ips]


def sites(*listen: str, of: tuple[str, ...] = (), relay: tuple[str, ...] = ()) -> tuple[Site, ...]:
    given = {"listen": listen, "relay-address": relay, "user": "alice:wonderland"}
    network = cast(Network, Machine(*of))
    return discovery_sites(network, read_config({**given, "alternate-port": 3479}))


def test_without_an_alternate_port_there_is_no_site() -> None:
    config = read_config({"listen": ["udp://127.0.0.1", "udp://127.0.0.2"], "secret": "s"})
    assert discovery_sites(cast(Network, Machine()), config) == ()


def test_a_wildcard_stands_for_the_addresses_that_others_reach() -> None:
    [site] = sites("udp://0.0.0.0", of=("127.0.0.1", "8.8.8.8", "8.8.4.4", "fe80::1"))
    assert site == Site(("8.8.8.8", "8.8.4.4"), (3478, 3479))


def test_an_ip_version_with_one_address_stays_without() -> None:
    [site] = sites("udp://8.8.8.8", "udp://8.8.4.4", "udp://[2001:4860::1]", "tcp://9.9.9.9")
    assert site.ips == ("8.8.8.8", "8.8.4.4")


def test_both_ip_versions_have_a_site_where_both_have_two_addresses() -> None:
    both = sites("udp://8.8.8.8", "udp://[2a00::1]", "udp://8.8.4.4", "udp://[2a00::2]")
    assert [site.ips for site in both] == [("8.8.8.8", "8.8.4.4"), ("2a00::1", "2a00::2")]


def test_behind_a_1_to_1_nat_the_site_is_known_by_its_public_addresses() -> None:
    relay = ("10.0.0.5=8.8.8.8", "10.0.0.6=8.8.4.4")
    [site] = sites("udp://10.0.0.5", "udp://10.0.0.6", relay=relay)
    assert (site.ips, site.known_as) == (("10.0.0.5", "10.0.0.6"), ("8.8.8.8", "8.8.4.4"))


def test_one_public_address_behind_a_1_to_1_nat_is_not_enough() -> None:
    with pytest.raises(UsageError, match=r"cannot use 10\.0\.0\.6 beside 8\.8\.8\.8"):
        sites("udp://10.0.0.5", "udp://10.0.0.6", relay=("10.0.0.5=8.8.8.8",))


def test_one_public_address_for_two_of_a_machine_is_one_address() -> None:
    relay = ("10.0.0.5=8.8.8.8", "10.0.0.6=8.8.8.8")
    with pytest.raises(UsageError, match="two listening addresses"):
        sites("udp://10.0.0.5", "udp://10.0.0.6", relay=relay)
