"""The program in a driver: a tap, whose other end is a file, has one that takes it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel.offloads import driver
from natkit.dataplane.kernel.syscalls import hardware_address
from natkit.dataplane.kernel.table import Ends, FastTable
from natkit.wire import TransportAddress
from tests.dataplane.kernel.frames import Frame
from tests.dataplane.kernel.ground import AT_TAP, TUN, V4, Ground, ground, out_of
from tests.dataplane.kernel.relaying import CHANNEL, channel_data
from tests.dataplane.kernel.serving import calling, serving

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("root", "ip", "xdp"),
    pytest.mark.skipif(not TUN.exists(), reason="this kernel has no tap interfaces"),
]

SERVER = TransportAddress("10.9.3.1", 3478)
CLIENT = TransportAddress("10.9.3.2", 5000)
BESIDE = TransportAddress("10.9.3.3", 7000)
"""A peer on the link that the client is on."""
RELAYED = TransportAddress(SERVER.ip, 6000)
FAR = TransportAddress(V4.peer, 7000)


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@pytest.fixture
def tap(world: Ground) -> Iterator[int]:
    """The file whose other end is the relay's interface tap0."""
    with world.tap(SERVER.ip, CLIENT.ip, BESIDE.ip) as made:
        yield made


@pytest.fixture
def table(world: Ground, tap: int) -> Iterator[FastTable]:
    """A table for tap0, in its driver, and for the peer's link, where it is not."""
    made = FastTable(8)
    assert attach(world, made, "tap0") is True
    world.attach(made, "peer")
    yield made
    made.close()


def attach(world: Ground, table: FastTable, name: str) -> bool:
    def attached() -> bool:
        return table.attach(socket.if_nametoindex(name), hardware_address(name), native=True)

    return world.relay.call(attached)


def frame(world: Ground, payload: bytes) -> bytes:
    """Return a frame from the client."""
    ours = world.relay.call(lambda: hardware_address("tap0"))
    return Frame((ours, AT_TAP), CLIENT, SERVER, channel_data(payload), life=9).packed()


def test_packet_that_leaves_where_it_came_is_sent_back_by_the_driver(
    world: Ground, tap: int, table: FastTable
) -> None:
    slot = table.put(Ends(CLIENT, SERVER, CHANNEL), Ends(RELAYED, BESIDE, 0), 1e9)
    os.write(tap, frame(world, b"the first goes up"))
    os.write(tap, frame(world, b"hello"))
    seen = out_of(tap)
    assert seen is not None
    assert (seen.source, seen.payload, seen.life, seen.state) == (RELAYED, b"hello", 8, "right")
    assert slot is not None
    assert table.carried(slot).packets == 1


def test_packet_for_an_interface_that_is_not_in_its_driver_goes_up_and_is_not_lost(
    world: Ground, tap: int, table: FastTable
) -> None:
    slot = table.put(Ends(CLIENT, SERVER, CHANNEL), Ends(RELAYED, FAR, 0), 1e9)
    with contextlib.closing(world.udp(world.relay, *SERVER)) as listener:
        for data in (b"the first goes up", b"hello"):
            os.write(tap, frame(world, data))
            assert select.select([listener], [], [], 5)[0]
            assert listener.recv(100) == channel_data(data)
    assert slot is not None
    assert table.carried(slot).packets == 0


def test_packet_of_an_interface_without_reaches_one_that_is_in_its_driver(
    world: Ground, tap: int, table: FastTable
) -> None:
    relayed = TransportAddress(V4.relayed, 6000)
    table.put(Ends(FAR, relayed, 0), Ends(SERVER, CLIENT, CHANNEL), 1e9)
    macs = (world.macs["relay to peer"], world.macs["peer"])
    with contextlib.closing(world.raw(world.peer, "link")) as raw:
        for data in (b"the first goes up", b"hello"):
            raw.send(Frame(macs, FAR, relayed, data, life=9).packed())
        seen = out_of(tap)
    assert seen is not None
    assert (seen.payload, seen.life, seen.state) == (channel_data(b"hello"), 8, "right")


def test_driver_that_does_not_take_the_program_leaves_it_to_the_generic_way(world: Ground) -> None:
    world.relay.command(["ip", "link", "add", "bridge9", "type", "bridge"])
    table = FastTable(2)
    try:
        assert attach(world, table, "bridge9") is False
        assert "xdpgeneric" in world.relay.command(["ip", "link", "show", "bridge9"])
    finally:
        table.close()
        world.relay.command(["ip", "link", "del", "bridge9"])


def test_drivers_are_known_by_name(world: Ground, tap: int) -> None:
    names = ("tap0", "client", "nowhere9")
    found = world.relay.call(lambda: [driver(name) for name in names])
    assert found == ["tun", "veth", ""]


def test_server_says_at_which_interface_it_is_in_the_driver(
    world: Ground, tap: int, tmp_path: Path
) -> None:
    """veth is not: what it sends is lost where the other end has no GRO."""
    with (
        serving(world, tmp_path, fast_path="xdp:tap0,client,peer") as server,
        calling(world, server, V4) as call,
    ):
        told = 'interfaces="tap0 (native), client (generic), peer (generic)"'
        assert told in server.log.read_text()
        assert call.both() == ("fast", "fast")
    assert "xdp" not in world.relay.command(["ip", "link", "show", "tap0"])
