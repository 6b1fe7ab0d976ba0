"""A relay must not reach what is behind it: attacks by the peer's address.

Every address is asked for in every way that names a peer. The addresses just outside the denied
networks must pass, so that a list that denies too much fails as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import pytest

from natkit.wire import (
    ChannelNumber,
    Message,
    MessageClass,
    Method,
    RequestedAddressFamily,
    TransportAddress,
    XorPeerAddress,
)
from tests.turnkit import TCP, Peer, RawClient, error_of, transaction_id
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

DENIED_IPV4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
)

DENIED_IPV6 = (
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)

OWN = {"127.0.0.2", "::1"}
"""Relayed addresses of the strict server, which its clients may meet at."""

IPV4_INSIDE_IPV6 = {
    "mapped": "::ffff:{}",
    "compatible": "::{}",
    "NAT64": "64:ff9b::{}",
    "local NAT64": "64:ff9b:1::{}",
}

NEIGHBOURS = (
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
)
"""First and last public addresses next to the denied networks."""

IPV6_NEIGHBOURS = (
    "100:0:0:1::",
    "2001:200::",
    "2001:db7:ffff::",
    "2001:db9::",
    "2003::",
    "3fff:1000::",
    "2606:4700::1111",
)


def edges(networks: Iterable[str]) -> Iterator[str]:
    """Return the first, the second, a middle and the last address of each network."""
    for text in networks:
        network = ipaddress.ip_network(text)
        places = {0, min(1, network.num_addresses - 1), network.num_addresses // 2}
        for place in sorted(places | {network.num_addresses - 1}):
            if str(network[place]) not in OWN:
                yield str(network[place])


@pytest.fixture(params=["udp", "tcp"])
def attacker(strict: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    with RawClient(strict, request.param) as made:
        yield made


def permission(client: RawClient, ip: str) -> int | None:
    return client.code(Method.CREATE_PERMISSION, XorPeerAddress(TransportAddress(ip, 80)))


def channel(client: RawClient, ip: str) -> int | None:
    peer = XorPeerAddress(TransportAddress(ip, 80))
    return client.code(Method.CHANNEL_BIND, ChannelNumber(0x4000), peer)


Way: TypeAlias = Callable[[RawClient, str], int | None]

WAYS = pytest.mark.parametrize("way", [permission, channel], ids=lambda way: way.__name__)


# -- 1: every denied network, in every way ---------------------------------------------------------


@WAYS
def test_no_denied_ipv4_network_is_opened(attacker: RawClient, way: Way) -> None:
    attacker.allocate()
    opened = [ip for ip in edges(DENIED_IPV4) if way(attacker, ip) != 403]
    assert opened == []


@WAYS
@pytest.mark.needs("ipv6")
def test_no_denied_ipv6_network_is_opened(attacker: RawClient, way: Way) -> None:
    attacker.allocate(RequestedAddressFamily(2))
    opened = [ip for ip in edges(DENIED_IPV6) if way(attacker, ip) != 403]
    assert opened == []


def test_a_send_indication_does_not_reach_a_denied_peer(attacker: RawClient) -> None:
    """The peer is on 127.0.0.1, which the server could reach but may not."""
    with Peer() as victim:
        attacker.allocate()
        attacker.send_to(victim.address, b"attack")
        attacker.code(Method.CREATE_PERMISSION, XorPeerAddress(victim.address))
        attacker.code(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(victim.address))
        attacker.send_to(victim.address, b"attack")
        attacker.send_on(0x4000, b"attack")
        assert attacker.fence() == []
        victim.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            victim.receive()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("family", [1, pytest.param(2, marks=pytest.mark.needs("ipv6"))])
def test_no_denied_network_is_connected_to(
    strict: TurnUnderTest, transport: str, family: int
) -> None:
    with RawClient(strict, transport) as attacker:
        attacker.log_in()
        assert attacker.code(Method.ALLOCATE, TCP, RequestedAddressFamily(family)) is None
        opened = [
            ip
            for ip in edges(DENIED_IPV4 if family == 1 else DENIED_IPV6)
            if attacker.code(Method.CONNECT, XorPeerAddress(TransportAddress(ip, 80))) != 403
        ]
    assert opened == []


# -- 2: one bad peer in a list ---------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_denied_peer_refuses_the_whole_list(attacker: RawClient, place: int) -> None:
    attacker.allocate()
    peers = [TransportAddress("8.8.8.8", 53), TransportAddress("1.1.1.1", 53)]
    peers.insert(place, TransportAddress("10.0.0.1", 80))
    assert attacker.code(Method.CREATE_PERMISSION, *map(XorPeerAddress, peers)) == 403


# -- 3: IPv4 dressed up as IPv6 --------------------------------------------------------------------


def six_to_four(ip: str) -> str:
    high, low = divmod(int(ipaddress.IPv4Address(ip)), 1 << 16)
    return f"2002:{high:x}:{low:x}::1"


def teredo(ip: str) -> str:
    high, low = divmod(int(ipaddress.IPv4Address(ip)) ^ 0xFFFFFFFF, 1 << 16)
    return f"2001:0:808:808:0:0:{high:x}:{low:x}"


@WAYS
@pytest.mark.needs("ipv6")
@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"])
def test_ipv4_inside_ipv6_is_refused(attacker: RawClient, way: Way, inner: str) -> None:
    """8.8.8.8 too: nobody reaches it by these ways through a relay."""
    attacker.allocate(RequestedAddressFamily(2))
    dressed = [shape.format(inner) for shape in IPV4_INSIDE_IPV6.values()]
    dressed += [six_to_four(inner), teredo(inner)]
    assert {way(attacker, ip) for ip in dressed} <= {403, 443}


@WAYS
@pytest.mark.parametrize("ip", ["::ffff:127.0.0.1", "::1", "::", "::127.0.0.1"])
def test_ipv6_on_an_ipv4_allocation_is_refused(attacker: RawClient, way: Way, ip: str) -> None:
    attacker.allocate()
    assert way(attacker, ip) in (403, 443)


# -- 4: the edges ----------------------------------------------------------------------------------


def test_the_neighbours_of_denied_ipv4_networks_are_open(attacker: RawClient) -> None:
    attacker.allocate()
    assert [ip for ip in NEIGHBOURS if permission(attacker, ip) is not None] == []


@pytest.mark.needs("ipv6")
def test_the_neighbours_of_denied_ipv6_networks_are_open(attacker: RawClient) -> None:
    attacker.allocate(RequestedAddressFamily(2))
    assert [ip for ip in IPV6_NEIGHBOURS if permission(attacker, ip) is not None] == []


def test_allow_peer_opens_exactly_its_network_and_deny_peer_closes_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Neither is as long as a whole number of bytes."""
    with (
        turn_server(
            tmp_path_factory.mktemp("lists"),
            *("--deny-peer", "8.8.8.0/30"),
            allow=["10.1.2.64/27"],
            ips=["127.0.0.1"],
            relay=["127.0.0.2"],
        ) as server,
        RawClient(server) as client,
    ):
        client.allocate()
        opened = ["10.1.2.64", "10.1.2.95", "8.8.8.4", "8.8.7.255"]
        closed = ["10.1.2.63", "10.1.2.96", "10.0.0.1", "8.8.8.0", "8.8.8.3"]
        assert [ip for ip in opened if permission(client, ip) is not None] == []
        assert [ip for ip in closed if permission(client, ip) != 403] == []


# -- the server itself -----------------------------------------------------------------------------


def test_the_servers_own_listeners_are_no_peers(attacker: RawClient) -> None:
    attacker.allocate()
    server = attacker.server
    on_the_relay_address = TransportAddress("127.0.0.2", 22)
    for own in (
        server.address,
        server.address._replace(port=server.tls_port),
        on_the_relay_address,
    ):
        bind = ChannelNumber(0x4000), XorPeerAddress(own)
        assert attacker.code(Method.CHANNEL_BIND, *bind) == 403


def test_an_allowed_ip_does_not_open_the_listener_on_it(client: RawClient, peer: Peer) -> None:
    client.allocate()
    listener = client.server.address
    bind = ChannelNumber(0x4000), XorPeerAddress(listener)
    assert client.code(Method.CHANNEL_BIND, *bind) == 403
    client.permit(peer.address)
    binding = Message.request(Method.BINDING, transaction_id())
    client.send_to(listener, binding.encode())
    client.send_to(peer.address, b"after")
    assert peer.receive()[0] == b"after"
    assert client.fence() == []


def test_port_zero_is_no_peer(client: RawClient) -> None:
    client.allocate()
    nowhere = XorPeerAddress(TransportAddress("127.0.0.1", 0))
    assert client.code(Method.CHANNEL_BIND, ChannelNumber(0x4000), nowhere) in (400, 403)


def test_a_refused_peer_leaves_the_channel_free(attacker: RawClient) -> None:
    attacker.allocate()
    assert channel(attacker, "10.0.0.1") == 403
    answer = attacker.call(
        Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(TransportAddress("8.8.8.8", 9))
    )
    assert answer.message_class is MessageClass.SUCCESS
    assert error_of(answer) is None
