"""Which addresses host candidates are gathered on, and how servers are named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from natkit.aio.ice_servers import TurnServer, host_addresses, stun_uri
from natkit.errors import UsageError
from natkit.network import Family, Interface
from natkit.turn.client_auth import Login

BOTH = (Family.IPV4, Family.IPV6)

LO = [Interface("lo", "127.0.0.1", 8), Interface("lo", "::1", 128)]
ETH = [
    Interface("eth0", "10.0.0.5", 24),
    Interface("eth0", "2001:db8::5", 64),
    Interface("eth0", "fe80::5", 64),
    Interface("eth0", "169.254.1.1", 16),
]
VPN = [Interface("tun0", "10.8.0.2", 24)]


def network(interfaces: list[Interface], outward: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(interfaces=lambda: tuple(interfaces), source_for=lambda _: outward)


def addresses(interfaces: list[Interface], families=BOTH, wanted=None, outward=None) -> list[str]:
    return [i.ip for i in host_addresses(network(interfaces, outward), families, wanted)]


def test_loopback_and_link_local_are_left_out():
    assert addresses([*LO, *ETH]) == ["10.0.0.5", "2001:db8::5"]


def test_loopback_is_used_where_there_is_nothing_else():
    assert addresses(LO) == ["127.0.0.1", "::1"]


def test_loopback_is_used_where_it_was_chosen():
    assert addresses([*LO, *ETH], wanted={"lo"}.__contains__) == ["127.0.0.1", "::1"]


def test_only_wanted_interfaces_are_used():
    assert addresses([*LO, *ETH, *VPN], wanted={"tun0"}.__contains__) == ["10.8.0.2"]


def test_what_the_internet_is_reached_from_comes_first():
    assert addresses([*ETH, *VPN], outward="10.8.0.2")[0] == "10.8.0.2"


@pytest.mark.parametrize(
    ("family", "found"), [(Family.IPV4, ["10.0.0.5"]), (Family.IPV6, ["2001:db8::5"])]
)
def test_only_wanted_ip_versions_are_used(family: Family, found: list[str]):
    assert addresses(ETH, families=(family,)) == found


def test_turn_uri_without_a_transport_is_udp():
    server = TurnServer("turn:example.org", "alice", "wonderland")
    assert server.name == "example.org:3478 over udp"
    assert server.login == Login("alice", "wonderland")


def test_turns_is_tls_on_its_own_port():
    assert TurnServer("turns:example.org").name == "example.org:5349 over tls"
    assert TurnServer("turns:example.org").login is None


def test_udp_is_preferred_to_tcp_to_tls_and_the_first_server_to_the_next():
    uris = ("turn:x", "turn:x?transport=tcp", "turns:x")
    found = [TurnServer(uri).preference(place) for uri in uris for place in (0, 1)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 6


@pytest.mark.parametrize("uri", ["turns:x?transport=udp", "http://x"])
def test_turn_server_that_cannot_be_asked_is_refused(uri: str):
    with pytest.raises(UsageError):
        TurnServer(uri)


@pytest.mark.parametrize("server", ["stuns:x", "stun:x?transport=tcp", "http://x"])
def test_stun_server_that_says_nothing_about_udp_is_refused(server: str):
    with pytest.raises(UsageError):
        stun_uri(server)


def test_stun_server_can_be_host_and_port():
    assert str(stun_uri(("example.org", 19302))) == "stun:example.org:19302"
