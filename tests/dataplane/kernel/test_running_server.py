"""A server with the fast path: what it forwards, what ends it, and what stays when it is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import secrets
import signal
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from natkit.dataplane.kernel import syscalls
from natkit.dataplane.kernel.table import FastTable
from natkit.wire import Lifetime, MessageClass, Method, RequestedAddressFamily
from tests.dataplane.kernel.frames import read
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.turnkit import Peer, RawClient
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip")]

SIDES = pytest.mark.parametrize("side", [V4, V6], ids=["IPv4", "IPv6"])
CHANNEL = 0x4001
MAP_GET_NEXT_ID = 12
ENOUGH = 0.5
"""Seconds without a packet after which none is expected."""


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@contextlib.contextmanager
def serving(
    world: Ground,
    where: Path,
    *words: str,
    fast_path: str = "xdp:client,peer",
    before: Sequence[str] = (),
) -> Iterator[TurnUnderTest]:
    """Run natkit on the relay."""
    ips, relay = (V4.server, V6.server), (V4.relayed, V6.relayed)
    running = turn_server(
        where,
        "--fast-path",
        fast_path,
        *words,
        ips=ips,
        relay=relay,
        allow=("10.0.0.0/8", "fd00::/8"),
        program="natkit",
        before=before,
    )
    server = world.relay.call(running.__enter__)
    try:
        yield server
    finally:
        world.relay.call(lambda: running.__exit__(None, None, None))


class Call:
    """A client with a channel to a peer."""

    def __init__(self, world: Ground, server: TurnUnderTest, side: Side) -> None:
        self.peer = world.peer.call(lambda: Peer(side.peer))
        self.client = world.client.call(
            lambda: RawClient(server, ip=side.server, source=side.client)
        )
        self.relayed = self.client.allocate(RequestedAddressFamily(2 if side.ipv6 else 1))
        self.client.bind(CHANNEL, self.peer.address)
        self._captures = world.raw(world.client, "link"), world.raw(world.peer, "link")
        self.client.send_to(self.peer.address, b"acquaintance")  # the peer's address is asked for
        self.peer.receive()

    def up(self) -> str:
        """Send to the peer; return how it came out: "fast", "slow" or "not at all"."""
        mark = secrets.token_bytes(16)
        self.client.send_on(CHANNEL, mark)
        return _way(self._captures[1], mark)

    def down(self) -> str:
        """Send to the client."""
        mark = secrets.token_bytes(16)
        with contextlib.suppress(ConnectionRefusedError):
            self.peer.send(mark, self.relayed)
        return _way(self._captures[0], mark)

    def close(self) -> None:
        for one in (self.client, self.peer.socket, *self._captures):
            one.close()


def _way(capture: socket.socket, mark: bytes) -> str:
    """A packet that the kernel forwards has one hop less to live than its sender gave it."""
    end = time.monotonic() + ENOUGH
    while time.monotonic() < end:
        try:
            frame, address = capture.recvfrom(2000)
        except BlockingIOError:
            time.sleep(0.005)
            continue
        seen = read(frame)
        if address[2] != socket.PACKET_OUTGOING and seen is not None and mark in seen.payload:
            return {63: "fast", 64: "slow"}[seen.life]
    return "not at all"


@contextlib.contextmanager
def calling(world: Ground, server: TurnUnderTest, side: Side) -> Iterator[Call]:
    call = Call(world, server, side)
    try:
        yield call
    finally:
        call.close()


def maps() -> set[int]:
    """Return the numbers of all maps in this kernel."""
    found, number = set[int](), 0
    libc = ctypes.CDLL(None)
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 12)
        if libc.syscall(syscalls.NUMBERS[platform.machine()], MAP_GET_NEXT_ID, attributes, 12) < 0:
            return found
        number = struct.unpack_from("=I", attributes, 4)[0]
        found.add(number)


def has_program(world: Ground) -> bool:
    return "xdp" in world.relay.command(["ip", "link", "show", "client"])


@SIDES
def test_call_goes_by_the_kernel_and_ends_with_refresh_0(
    world: Ground, tmp_path: Path, side: Side
) -> None:
    with serving(world, tmp_path) as server, calling(world, server, side) as call:
        assert (call.up(), call.down()) == ("fast", "fast")
        assert len(call.client.receive()) == 4 + 16
        answer = call.client.call(Method.REFRESH, Lifetime(0))
        assert answer.message_class is MessageClass.SUCCESS
        assert (call.up(), call.down()) == ("not at all", "not at all")
        log = server.log.read_text()
        assert "to_peers_packets=2 " in log  # the kernel's one, and acquaintance
        assert re.search('fast path.*interfaces="client, peer"', log)


def test_allocation_with_a_limit_on_bandwidth_takes_the_slow_way(
    world: Ground, tmp_path: Path
) -> None:
    with (
        serving(world, tmp_path, "--user-max-bps", "1000000") as server,
        calling(world, server, V4) as call,
    ):
        assert (call.up(), call.down()) == ("slow", "slow")


def test_metrics_say_who_forwarded_what(world: Ground, tmp_path: Path) -> None:
    with (
        serving(world, tmp_path, "--metrics", "127.0.0.1:9641") as server,
        calling(world, server, V6) as call,
    ):
        call.up(), call.down()
        page = world.relay.call(
            lambda: urllib.request.urlopen("http://127.0.0.1:9641/metrics").read().decode()
        )
        assert "natkit_turn_fast_path_workers 1.0" in page
        assert 'natkit_turn_packets_total{plane="kernel"} 2.0' in page
        assert 'natkit_turn_packets_total{plane="portable"} 1.0' in page


def test_killed_server_leaves_no_program_and_no_map_and_the_next_takes_over(
    world: Ground, tmp_path: Path
) -> None:
    before = maps()
    with serving(world, tmp_path) as server, calling(world, server, V4) as call:
        assert call.up() == "fast"
        own = maps() - before
        assert len(own) >= 4
        assert has_program(world)
        server.process.kill()
        server.process.wait(10)
        assert not has_program(world)
        assert call.up() == "not at all"
        end = time.monotonic() + 10
        while maps() & own:  # the kernel frees them a moment later
            assert time.monotonic() < end
            time.sleep(0.05)
    with serving(world, tmp_path) as server, calling(world, server, V4) as call:
        assert (call.up(), call.down()) == ("fast", "fast")


@SIDES
def test_workers_share_the_table_and_a_killed_ones_calls_end(
    world: Ground, tmp_path: Path, side: Side
) -> None:
    with serving(world, tmp_path, "--workers", "2") as server, contextlib.ExitStack() as stack:
        calls = [stack.enter_context(calling(world, server, side)) for _ in range(6)]
        assert [call.up() for call in calls] == ["fast"] * 6
        assert [call.down() for call in calls] == ["fast"] * 6
        os.kill(server.pids[1], signal.SIGKILL)
        lost = _await_line(server, r"worker lost .* allocations=(\d+)")
        ended = set[str]()
        while len(ended) < int(lost[1]):  # their lines follow
            ended = set(re.findall(r"ended .*relayed=(\S+)", server.log.read_text()))
        for call in calls:
            gone = str(call.relayed) in ended
            assert call.up() == ("not at all" if gone else "fast")
        with calling(world, server, side) as call:
            assert (call.up(), call.down()) == ("fast", "fast")


def _await_line(server: TurnUnderTest, pattern: str) -> re.Match[str]:
    end = time.monotonic() + 15
    while (found := re.search(pattern, server.log.read_text())) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_program_of_somebody_else_is_left_there_and_named(world: Ground, tmp_path: Path) -> None:
    other = FastTable(2)
    try:
        world.attach(other, "client")
        with (
            pytest.raises(AssertionError, match="Another XDP program is there"),
            serving(world, tmp_path),
        ):
            pass
        with (
            serving(world, tmp_path, fast_path="auto") as server,
            calling(world, server, V4) as call,
        ):
            assert "no fast path" in server.log.read_text()
            assert (call.up(), call.down()) == ("slow", "slow")
        assert has_program(world)
    finally:
        other.close()


def test_auto_finds_the_interfaces_that_have_the_addresses(world: Ground, tmp_path: Path) -> None:
    with (
        serving(world, tmp_path, fast_path="auto") as server,
        calling(world, server, V4) as call,
    ):
        assert (call.up(), call.down()) == ("fast", "fast")
