"""A neighbour that the kernel forwards to is asked now and then whether it is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from natkit.dataplane.kernel.places import NEIGHBOUR_CHECK
from natkit.wire import TransportAddress
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.relaying import RELAYED, Carrier, channel_data, relaying

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

SIDES = pytest.mark.parametrize("side", [V4, V6], ids=["IPv4", "IPv6"])
OTHER_MAC = "02:00:00:00:00:78"


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


async def test_one_packet_of_an_entry_goes_up_every_few_seconds_and_is_counted_once(
    world: Ground,
) -> None:
    with relaying(world, kernel=True) as carrier:
        began, sent, slow = time.monotonic(), 0, []
        while time.monotonic() < began + NEIGHBOUR_CHECK + 1:
            at = time.monotonic() - began
            found = await carrier.once(V4, up=True)
            assert found in ("fast", "slow")
            sent += 1
            if found == "slow":
                slow.append(at)
            await asyncio.sleep(0.1)
        first, second = slow
        assert first < 0.1
        assert NEIGHBOUR_CHECK - 0.1 < second - first < NEIGHBOUR_CHECK + 1
        counters = carrier.plane.counters(TransportAddress(V4.relayed, RELAYED))
        assert (counters.to_peers, counters.in_kernel) == (sent, sent - 2)


@SIDES
async def test_peer_whose_ethernet_address_changes_in_silence_is_found_again(
    world: Ground, side: Side
) -> None:
    version = "ipv6" if side.ipv6 else "ipv4"
    of = f"net/{version}/neigh/peer"
    world.relay.sysctl({f"{of}/delay_first_probe_time": "1", f"{of}/retrans_time_ms": "100"})
    before = world.macs["peer"].hex(":")
    with relaying(world, kernel=True) as carrier:
        assert await carrier.way(side, up=True) == "fast"
        stale = ["lladdr", before, "dev", "peer", "nud", "stale"]
        world.relay.command(["ip", "neigh", "replace", side.peer, *stale])
        set_mac(world, OTHER_MAC)
        try:
            assert not await heard(carrier, side)
            began = time.monotonic()
            while not await heard(carrier, side):
                # The next check, then as long as a neighbour may take to answer.
                assert time.monotonic() - began < NEIGHBOUR_CHECK + 4
        finally:
            set_mac(world, before)
            world.relay.command(["ip", "neigh", "flush", "dev", "peer"])


def set_mac(world: Ground, mac: str) -> None:
    """Change the peer's Ethernet address, so that it tells nobody."""
    for words in (["arp", "off"], ["address", mac], ["arp", "on"]):
        world.peer.command(["ip", "link", "set", "dev", "link", *words])


async def heard(carrier: Carrier, side: Side) -> bool:
    """Send to the peer; tell whether its socket gets it."""
    sink = carrier.sinks[side, True]
    with contextlib.suppress(BlockingIOError):
        while sink.recv(2000):
            pass
    frame = carrier.frame(side, channel_data(b"hello?"), up=True)
    carrier.raws[True].send(frame.packed())
    await asyncio.sleep(0.02)
    try:
        return sink.recv(2000) == b"hello?"
    except BlockingIOError:
        return False
