"""A server with the fast path: what it forwards, what ends it, and what stays when it is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel import syscalls
from natkit.dataplane.kernel.table import FastTable
from natkit.wire import Lifetime, MessageClass, Method
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.serving import SIDES, await_line, calling, serving

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip")]

MAP_GET_NEXT_ID = 12


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


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
        lost = await_line(server, r"worker lost .* allocations=(\d+)")
        ended = set[str]()
        while len(ended) < int(lost[1]):  # their lines follow
            ended = set(re.findall(r"ended .*relayed=(\S+)", server.log.read_text()))
        for call in calls:
            gone = str(call.relayed) in ended
            assert call.up() == ("not at all" if gone else "fast")
        with calling(world, server, side) as call:
            assert (call.up(), call.down()) == ("fast", "fast")


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
