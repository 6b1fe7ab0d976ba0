"""Ports, addresses and routes of a topology."""

from __future__ import annotations

from natkit.lab.netns import layout
from natkit.lab.scenarios import POOL, SCENARIOS, WAN
from natkit.lab.topology import Host, Router, Segment, Topology


def test_a_router_has_a_port_on_each_side_and_a_host_one() -> None:
    ports = layout.ports(SCENARIOS["double"].topology)
    named = [(port.node, port.interface, port.bridge) for port in ports if port.node != "stun"]
    assert named == [
        ("alice", "eth0", "br1"),
        ("carol", "eth0", "br1"),
        ("stun2", "eth0", "br0"),
        ("bob", "eth0", "br0"),
        ("home", "lan", "br1"),
        ("home", "wan", "br2"),
        ("cgn", "lan", "br2"),
        ("cgn", "wan", "br0"),
    ]
    assert len({port.switch for port in ports}) == len(ports)


def test_a_router_answers_for_its_pool() -> None:
    ports = layout.ports(SCENARIOS["pool-paired"].topology)
    (outside,) = [port for port in ports if port.interface == "wan"]
    assert outside.addresses == tuple(f"{ip}/24" for ip in POOL)


def test_names_of_interfaces_fit_whatever_nodes_are_called() -> None:
    host = Host("a-host-with-a-name-longer-than-the-kernel-allows", "internet", ("192.0.2.1",))
    topology = Topology((Segment("internet", "192.0.2.0/24"),), (host,))
    batch = layout.switch_batch(topology, lambda node: f"/proc/1/fd/{len(node)}")
    assert "link add p0 type veth peer name eth0 netns /proc/1/fd/48" in batch


def test_default_routes_lead_outwards() -> None:
    double = SCENARIOS["double"].topology
    assert layout.routes(double, "alice") == (("0.0.0.0/0", "10.0.1.1"),)
    assert layout.routes(double, "home") == (("0.0.0.0/0", "100.64.0.1"),)
    assert layout.routes(double, "cgn") == ()
    assert layout.routes(double, "bob") == ()


def test_routes_lead_inwards_except_behind_a_nat() -> None:
    firewalled, dual = SCENARIOS["firewalled"].topology, SCENARIOS["dual-stack"].topology
    assert layout.routes(firewalled, "bob") == (("198.51.100.0/24", WAN),)
    assert layout.routes(dual, "bob") == (("2001:db8:1::/64", "2001:db8::100"),)
    assert dict(layout.routes(dual, "alice")) == {
        "0.0.0.0/0": "10.0.1.1",
        "::/0": "2001:db8:1::1",
    }


def test_routes_lead_through_two_routers() -> None:
    topology = Topology(
        (Segment("a", "192.0.2.0/24"), Segment("b", "10.1.0.0/24"), Segment("c", "10.2.0.0/24")),
        (Host("far", "a", ("192.0.2.9",)),),
        (
            Router("ab", "b", "a", ("10.1.0.1",), ("192.0.2.1",)),
            Router("bc", "c", "b", ("10.2.0.1",), ("10.1.0.2",)),
        ),
    )
    assert dict(layout.routes(topology, "far")) == {
        "10.1.0.0/24": "192.0.2.1",
        "10.2.0.0/24": "192.0.2.1",
    }
    assert dict(layout.routes(topology, "ab")) == {"10.2.0.0/24": "10.1.0.2"}


def test_ipv6_addresses_skip_duplicate_address_detection() -> None:
    batch = layout.node_batch(SCENARIOS["dual-stack"].topology, "alice")
    assert "addr add 2001:db8:1::2/64 dev eth0 nodad" in batch
    assert "addr add 10.0.1.2/24 dev eth0\n" in batch


def test_only_routers_forward_and_their_mappings_live_as_said() -> None:
    topology = SCENARIOS["short-lifetime"].topology
    assert "net/ipv4/ip_forward" not in layout.settings(topology, "alice")
    router = layout.settings(topology, "home")
    assert router["net/ipv4/ip_forward"] == "1"
    assert router["net/netfilter/nf_conntrack_udp_timeout"] == "2"
    assert router["net/netfilter/nf_conntrack_udp_timeout_stream"] == "2"
