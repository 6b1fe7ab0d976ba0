"""Which peers may be relayed to: the deny list, its edges, disguises, and what opens it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import UsageError
from natkit.turn.policy import DENIED, IpNetwork, PeerPolicy, Prefixes, networks
from natkit.wire import TransportAddress

DEFAULT = PeerPolicy()


def refused(ip: str, policy: PeerPolicy = DEFAULT) -> bool:
    by_ip = policy.refuses_ip(ip) is not None
    assert by_ip == (policy.refuses(TransportAddress(ip, 5000)) is not None)
    return by_ip


@pytest.mark.parametrize("prefix", [str(network) for network, _ in DENIED])
def test_first_and_last_address_of_every_denied_range_are_refused(prefix: str) -> None:
    network = ipaddress.ip_network(prefix)
    assert refused(str(network[0]))
    assert refused(str(network[-1]))


@pytest.mark.parametrize(
    "ip",
    [
        *["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
        *["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0"],
        *["172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0"],
        *["192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0"],
        *["198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0"],
        *["203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8"],
        *["100:0:0:1::", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2600::1"],
        *["3fff:1000::", "64:ff9b:2::", "fbff::", "2a00:1450::1"],
    ],
)
def test_neighbours_of_denied_ranges_and_public_addresses_are_admitted(ip: str) -> None:
    assert not refused(ip)


@pytest.mark.parametrize(
    "ip",
    [
        "255.255.255.255",
        *["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1"],
        *["2002:7f00:1::1", "2001:0:102:304::80ff:fffe", "::ffff:8.8.8.8", "64:ff9b::808:808"],
    ],
)
def test_ipv4_in_every_ipv6_encoding_is_refused(ip: str) -> None:
    assert refused(str(ipaddress.ip_address(ip)))


def test_reason_names_the_range() -> None:
    assert DEFAULT.refuses_ip("10.1.2.3") == "10.1.2.3 is in 10.0.0.0/8: private (RFC 1918)"


# --- what opens and what closes


def test_allow_opens_exactly_its_range() -> None:
    policy = PeerPolicy(allow=networks(["10.1.0.0/16"]))
    assert not refused("10.1.0.0", policy)
    assert not refused("10.1.255.255", policy)
    assert refused("10.0.255.255", policy)
    assert refused("10.2.0.0", policy)


@pytest.mark.parametrize("ip", ["::ffff:7f00:1", "::7f00:1", "64:ff9b::7f00:1", "::1"])
def test_allowed_ipv4_does_not_open_its_ipv6_disguises(ip: str) -> None:
    assert refused(ip, PeerPolicy(allow=networks(["127.0.0.0/8"])))


def test_allowed_nat64_still_refuses_what_ipv4_would() -> None:
    policy = PeerPolicy(allow=networks(["64:ff9b::/96"]))
    assert not refused("64:ff9b::808:808", policy)
    assert refused("64:ff9b::7f00:1", policy)


def test_loopback_of_ipv6_is_no_disguise_and_can_be_opened() -> None:
    policy = PeerPolicy(allow=networks(["::1"]))
    assert not refused("::1", policy)
    assert refused("::2", policy)


def test_all_of_ipv6_allowed_still_refuses_disguised_ipv4() -> None:
    policy = PeerPolicy(allow=networks(["::/0"]))
    assert not refused("fe80::1", policy)
    assert refused("2002:a00:1::", policy)
    assert refused("2001:0:102:304::f5ff:fffe", policy)


def test_deny_closes_more() -> None:
    policy = PeerPolicy(deny=networks(["8.8.0.0/16"]))
    assert refused("8.8.8.8", policy)
    assert not refused("8.9.0.0", policy)


def test_denied_range_that_ends_nowhere_near_a_byte_is_kept_to_the_address() -> None:
    policy = PeerPolicy(deny=networks(["2600:0:0:fff8::/61"]))
    assert refused("2600:0:0:ffff:ffff::", policy)
    assert refused("2600:0:0:fff8::", policy)
    assert not refused("2600:0:0:fff7:ffff::", policy)
    assert not refused("2600:0:1::", policy)


def any_network(bits: int) -> st.SearchStrategy[IpNetwork]:
    def made(number: int, length: int) -> IpNetwork:
        packed = number.to_bytes(bits // 8, "big")
        return ipaddress.ip_network((packed, length), strict=False)

    # Few addresses, so that networks hold each other and the addresses that are asked for.
    numbers = st.integers(0, 7).map(lambda high: high << (bits - 3))
    return st.builds(made, numbers, st.integers(0, bits))


@given(
    st.lists(st.one_of(any_network(32), any_network(128)), max_size=8),
    st.one_of(any_network(32), any_network(128)).map(lambda network: network.network_address),
)
def test_longest_prefix_is_found_as_ipaddress_finds_it(
    listed: list[IpNetwork], address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    holding = [network for network in listed if address in network]
    longest = max(holding, key=lambda network: network.prefixlen, default=None)
    found = Prefixes((network, str(network)) for network in listed).find(address.packed)
    assert found == (None if longest is None else str(longest))


def test_longer_of_two_prefixes_decides_and_deny_of_two_equal_ones() -> None:
    policy = PeerPolicy(
        allow=networks(["10.0.0.0/8", "10.1.1.0/24", "10.9.0.0/16"]),
        deny=networks(["10.1.0.0/16", "10.9.0.0/16"]),
    )
    assert not refused("10.2.0.1", policy)
    assert refused("10.1.2.1", policy)
    assert not refused("10.1.1.1", policy)
    assert refused("10.9.0.1", policy)


def test_own_listeners_are_refused_whatever_is_allowed() -> None:
    listener, metrics = TransportAddress("9.9.9.9", 3478), TransportAddress("127.0.0.1", 9641)
    policy = PeerPolicy(
        allow=networks(["0.0.0.0/0"]),
        own=frozenset({listener, metrics}),
        relayed=frozenset({"9.9.9.9"}),
        relay_ports=range(1, 65536),
    )
    assert policy.refuses(listener) is not None
    assert policy.refuses(metrics) is not None
    assert policy.refuses(metrics._replace(port=80)) is None


def test_own_relayed_addresses_are_admitted_by_their_ports_even_where_private() -> None:
    policy = PeerPolicy(relayed=frozenset({"192.168.1.5"}), relay_ports=range(50000, 50010))
    assert policy.refuses_ip("192.168.1.5") is None
    assert policy.refuses(TransportAddress("192.168.1.5", 50009)) is None
    assert policy.refuses(TransportAddress("192.168.1.5", 50010)) is not None
    assert policy.refuses(TransportAddress("192.168.1.5", 22)) is not None
    assert policy.refuses_ip("192.168.1.6") is not None


def test_other_ports_of_an_own_relayed_ip_are_opened_by_allow() -> None:
    own = frozenset({"127.0.0.1"})
    policy = PeerPolicy(networks(["127.0.0.1/32"]), relayed=own, relay_ports=range(50000, 50010))
    assert policy.refuses(TransportAddress("127.0.0.1", 22)) is None


def test_deny_closes_the_other_ports_of_an_own_relayed_ip() -> None:
    allow, deny = networks(["0.0.0.0/0"]), networks(["9.9.9.9"])
    policy = PeerPolicy(allow, deny, relayed=frozenset({"9.9.9.9"}))
    assert policy.refuses(TransportAddress("9.9.9.9", 22)) is not None


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "home", ""])
def test_text_that_is_no_network_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no network"):
        networks([text])
