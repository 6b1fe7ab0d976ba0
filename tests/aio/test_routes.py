"""Default gateways, read from what each system prints."""

from __future__ import annotations

import sys

import pytest

from natkit.aio import routes
from natkit.network import Family

PROC_ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t{wlan}\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t{eth}\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
"""
PROC_IPV6_ROUTE = """\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
20010db8000000000000000000000001 00000100 00000001 00000000 00000003     eth1
20010db8000100000000000000000000 40 00000000000000000000000000000000 00 \
00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
"""
NETSTAT = """\
Routing tables

Internet:
Destination        Gateway            Flags           Netif Expire
default            192.168.1.1        UGScg             en0
default            link#18            UCSIg       bridge100      !
127                127.0.0.1          UCS               lo0

Internet6:
Destination                             Gateway                 Flags         Netif Expire
default                                 fe80::1%en0             UGcg            en0
::1                                     ::1                     UHL             lo0
"""
ROUTE_PRINT = """\
IPv4 Route Table
===========================================================================
Active Routes:
Network Destination        Netmask          Gateway       Interface  Metric
          0.0.0.0          0.0.0.0     192.168.2.1    192.168.2.10     50
          0.0.0.0          0.0.0.0     192.168.1.1    192.168.1.10     25
        127.0.0.0        255.0.0.0         On-link         127.0.0.1    331
===========================================================================
Persistent Routes:
  Network Address          Netmask  Gateway Address  Metric
          0.0.0.0          0.0.0.0     192.168.9.1  Default
"""


def in_host_order(ip: str) -> str:
    """Return an IPv4 address as the kernel of this machine's byte order writes it."""
    return f"{int.from_bytes(bytes(map(int, ip.split('.'))), sys.byteorder):08X}"


def test_proc_route_lists_gateways_by_metric() -> None:
    wlan, eth = in_host_order("192.168.2.1"), in_host_order("192.168.1.1")
    found = routes.parse_proc_route(PROC_ROUTE.format(wlan=wlan, eth=eth))
    assert found == ("192.168.1.1", "192.168.2.1")


def test_proc_ipv6_route_gives_link_local_gateways_a_scope() -> None:
    assert routes.parse_proc_ipv6_route(PROC_IPV6_ROUTE) == ("2001:db8::1", "fe80::1%eth0")


def test_netstat_of_macos_leaves_routes_over_links_out() -> None:
    assert routes.parse_netstat(NETSTAT, Family.IPV4) == ("192.168.1.1",)
    assert routes.parse_netstat(NETSTAT, Family.IPV6) == ("fe80::1%en0",)


def test_route_print_of_windows_lists_active_gateways_by_metric() -> None:
    assert routes.parse_route_print(ROUTE_PRINT, Family.IPV4) == ("192.168.1.1", "192.168.2.1")
    assert routes.parse_route_print(ROUTE_PRINT, Family.IPV6) == ()


@pytest.mark.parametrize("family", list(Family))
def test_this_machine_answers_without_raising(family: Family) -> None:
    assert all((":" in ip) == (family is Family.IPV6) for ip in routes.default_gateways(family))


def test_a_system_that_says_nothing_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(routes, "_output", broken)
    assert routes.default_gateways(Family.IPV4) == ()
