"""A sum that was left to hardware is completed by whoever sends, or the packet goes up."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from natkit.dataplane.kernel.offloads import completes_checksums
from natkit.dataplane.kernel.table import Ends, FastTable
from natkit.wire import TransportAddress
from tests.dataplane.kernel.ground import SUMS, TUN, V4, Ground, ground, out_of, set_offload
from tests.dataplane.kernel.relaying import CHANNEL, channel_data

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("root", "ip", "xdp"),
    pytest.mark.skipif(not TUN.exists(), reason="this kernel has no tap interfaces"),
]

CLIENT, SERVER = TransportAddress(V4.client, 5000), TransportAddress(V4.server, 3478)
RELAYED, FAR = TransportAddress("10.9.3.1", 6000), TransportAddress("10.9.3.2", 7000)
BESIDE = TransportAddress(V4.client, 7000)
"""A peer on the client's own link."""


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@pytest.fixture
def tap(world: Ground) -> Iterator[int]:
    with world.tap(RELAYED.ip, FAR.ip) as made:
        yield made


@pytest.fixture
def sums_are_left(world: Ground) -> Iterator[None]:
    """The relay's link to the client does not complete them."""
    world.relay.call(lambda: set_offload("client", SUMS, on=False))
    yield
    world.relay.call(lambda: set_offload("client", SUMS, on=True))


@contextlib.contextmanager
def forwarding(world: Ground, leaving: Ends, *interfaces: str) -> Iterator[FastTable]:
    table = FastTable(2)
    try:
        for name in interfaces:
            world.attach(table, name)
        table.put(Ends(CLIENT, SERVER, CHANNEL), leaving, 1e9)
        yield table
    finally:
        table.close()


def sent(world: Ground, *, times: int = 1) -> list[bytes]:
    """Send from the client, whose sums are left to hardware; return what comes up at the relay."""
    with (
        contextlib.closing(world.udp(world.client, *CLIENT)) as client,
        contextlib.closing(world.udp(world.relay, *SERVER)) as listener,
    ):
        listener.sendto(b"", CLIENT)  # to make acquaintance
        for _ in range(times):
            client.sendto(channel_data(b"hello"), SERVER)
        came = []
        while select.select([listener], [], [], 0.3)[0]:
            came.append(listener.recv(100))
        return came


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "unknown"])
def test_unfinished_sum_does_not_leave_by_an_interface_that_does_not_complete_it(
    world: Ground, tap: int, attached: bool
) -> None:
    names = ("client", "tap0") if attached else ("client",)
    with forwarding(world, Ends(RELAYED, FAR, 0), *names) as table:
        came = sent(world, times=3)
        seen = out_of(tap)
        assert seen is None, seen.state
        assert came == [channel_data(b"hello")] * 3
        assert table.carried(0).packets == 0


def test_whole_sum_leaves_by_an_interface_that_completes_none(world: Ground, tap: int) -> None:
    world.client.call(lambda: set_offload("link", SUMS, on=False))
    try:
        with forwarding(world, Ends(RELAYED, FAR, 0), "client", "tap0"):
            sent(world, times=3)
            seen = out_of(tap)
            assert seen is not None
            assert (seen.payload, seen.state) == (b"hello", "right")
    finally:
        world.client.call(lambda: set_offload("link", SUMS, on=True))


def test_unfinished_sum_goes_back_where_the_interface_completes_it(world: Ground) -> None:
    with (
        forwarding(world, Ends(TransportAddress(V4.server, 6000), BESIDE, 0), "client") as table,
        contextlib.closing(world.udp(world.client, *BESIDE)) as beside,
    ):
        sent(world, times=3)
        assert select.select([beside], [], [], 1)[0]
        assert beside.recv(100) == b"hello"
        assert table.carried(0).packets


@pytest.mark.usefixtures("sums_are_left")
def test_unfinished_sum_does_not_go_back_where_the_interface_does_not_complete_it(
    world: Ground,
) -> None:
    leaving = Ends(TransportAddress(V4.server, 6000), BESIDE, 0)
    with forwarding(world, leaving, "client") as table:
        assert sent(world, times=3) == [channel_data(b"hello")] * 3
        assert table.carried(0).packets == 0


def test_who_completes_sums_is_known_from_the_system(world: Ground, tap: int) -> None:
    def told(name: str) -> bool:
        return world.relay.call(lambda: completes_checksums(socket.if_nametoindex(name)))

    assert (told("client"), told("tap0")) == (True, False)
    world.relay.call(lambda: set_offload("peer", SUMS, on=False))
    try:
        assert told("peer") is False
    finally:
        world.relay.call(lambda: set_offload("peer", SUMS, on=True))
    assert world.relay.call(lambda: completes_checksums(9999)) is False
