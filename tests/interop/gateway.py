"""miniupnpd, to be run in a router's namespace."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from natkit.lab.netns import NamespaceWorld, Service

CHAINS = """
table inet upnp {
  chain miniupnpd {}
  chain prerouting_miniupnpd {}
  chain postrouting_miniupnpd {}
  chain outward { type filter hook forward priority -1; jump miniupnpd; }
  chain inbound { type nat hook prerouting priority -101; jump prerouting_miniupnpd; }
  chain outbound { type nat hook postrouting priority 99; jump postrouting_miniupnpd; }
}
"""
CONFIG = """
ext_ifname=wan
listening_ip=lan
enable_natpmp={natpmp}
enable_upnp=yes
port=5555
secure_mode=yes
uuid=6e61746b-6974-4e61-8a00-000000000001
allow 1024-65535 10.0.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
"""
"""The chains have to exist before it starts, and `listening_ip` has to be an interface."""


def start_miniupnpd(world: NamespaceWorld, directory: Path, *, natpmp: bool = True) -> None:
    """Start it in the router `home`, whose inside is 10.0.1.0/24, perhaps for UPnP alone."""
    chains, config = directory / "chains.nft", directory / "miniupnpd.conf"
    chains.write_text(CHAINS)
    config.write_text(CONFIG.format(natpmp="yes" if natpmp else "no"))
    finished(world.spawn("home", ["nft", "-f", str(chains)]))
    daemon = world.spawn(
        "home", ["miniupnpd", "-d", "-f", str(config), "-P", str(directory / "pid")]
    )
    until(lambda: "HTTP listening" in daemon.output() or not daemon.running)
    assert daemon.running, daemon.output()


def finished(service: Service) -> str:
    """Return what a program prints until it ends."""
    until(lambda: not service.running)
    return service.output()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
