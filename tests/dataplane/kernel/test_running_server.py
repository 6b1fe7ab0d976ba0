"""A server with the fast path: what it forwards, what ends it, and what stays when it is killed."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel.table import FastTable
from natkit.wire import Lifetime, MessageClass, Method
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.serving import SIDES, calling, has_program, serving

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@SIDES
def test_call_goes_by_the_kernel_and_ends_with_refresh_0(
    world: Ground, tmp_path: Path, side: Side
) -> None:
    with serving(world, tmp_path) as server, calling(world, server, side) as call:
        assert (call.up(), call.down()) == ("fast", "fast")
        assert [len(call.client.receive()) for _ in range(2)] == [4 + 16] * 2
        answer = call.client.call(Method.REFRESH, Lifetime(0))
        assert answer.message_class is MessageClass.SUCCESS
        assert (call.up(), call.down()) == ("not at all", "not at all")
        log = server.log.read_text()
        assert "to_peers_packets=3 " in log  # the kernel's one, one that went up, and acquaintance
        assert re.search('fast path.*interfaces="client \\(generic\\), peer \\(generic\\)"', log)


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
        assert 'natkit_turn_packets_total{plane="portable"} 3.0' in page


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
