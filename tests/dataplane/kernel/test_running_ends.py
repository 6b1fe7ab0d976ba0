"""What ends a call on a running server ends it in the kernel: no packet passes after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.wire import Method, RequestedAddressFamily
from tests.dataplane.kernel.ground import V4, V6, Ground, ground
from tests.dataplane.kernel.serving import (
    CHANNEL,
    NOTHING,
    await_line,
    calling,
    serving,
)
from tests.soak_server import LIFETIMES
from tests.turnkit import UDP, RawClient
from tests.turnserver import TurnUnderTest

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

PERMISSION = LIFETIMES["natkit.turn.allocation.PERMISSION_LIFETIME"]
BINDING = LIFETIMES["natkit.turn.allocation.CHANNEL_LIFETIME"]
ALLOCATION = LIFETIMES["natkit.turn.wanted.DEFAULT_LIFETIME"]
FAST = ("fast", "fast")


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


@pytest.fixture
def brief(world: Ground, tmp_path: Path) -> Iterator[TurnUnderTest]:
    """A server that grants seconds where others grant minutes."""
    with serving(world, tmp_path, module="tests.soak_server") as server:
        yield server


def wait(made: float, age: float) -> None:
    """Wait until what was made then is a little older than `age` seconds."""
    time.sleep(max(0.0, made + age + 0.1 - time.monotonic()))


def test_permission_channel_and_allocation_end_in_their_order(
    world: Ground, brief: TurnUnderTest
) -> None:
    """The client is silent but for one CreatePermission, as one is that has gone."""
    before = time.monotonic()
    with calling(world, brief, V4) as four, calling(world, brief, V6) as six:
        made, calls = time.monotonic(), (four, six)
        assert made - before < 2, "a machine as slow as this cannot tell one end from the next"
        assert [call.both() for call in calls] == [FAST, FAST]
        wait(made, PERMISSION)
        assert [call.both() for call in calls] == [NOTHING, NOTHING]
        for call in calls:
            call.heard()
            call.client.permit(call.peer.address)
            call.client.fence()  # what is granted holds in the kernel a moment after the answer
        assert [call.both() for call in calls] == [FAST, FAST]
        wait(made, BINDING)
        assert [call.up() for call in calls] == ["not at all", "not at all"]
        assert [call.down() for call in calls] == ["slow", "slow"]  # as indications
        wait(made, ALLOCATION)
        assert [call.both() for call in calls] == [NOTHING, NOTHING]


def test_permission_ends_while_the_server_sleeps(world: Ground, brief: TurnUnderTest) -> None:
    """The kernel knows the end itself."""
    with calling(world, brief, V6) as call:
        made = time.monotonic()
        assert call.both() == FAST
        os.kill(brief.process.pid, signal.SIGSTOP)
        try:
            assert call.both() == FAST
            wait(made, PERMISSION)
            assert call.both() == NOTHING
        finally:
            os.kill(brief.process.pid, signal.SIGCONT)
        call.client.fence()  # it is awake, and has looked at its clock
        assert call.both() == NOTHING


def test_allocation_beyond_the_quota_carries_nothing_and_the_first_goes_on(
    world: Ground, tmp_path: Path
) -> None:
    with (
        serving(world, tmp_path, "--user-quota", "1") as server,
        calling(world, server, V4) as call,
    ):
        with world.client.call(lambda: RawClient(server, ip=V4.server, source=V4.client)) as other:
            assert other.log_in().code(Method.ALLOCATE, UDP, RequestedAddressFamily(1)) == 486
            assert call.way_of(other) == "not at all"
        assert call.both() == FAST


@pytest.mark.parametrize("option", ["--max-bps", "--user-max-bps"])
def test_no_byte_passes_a_limit_by_way_of_the_kernel(
    world: Ground, tmp_path: Path, option: str
) -> None:
    """A second's worth may go at once; as much again is what a slow machine may add."""
    limit, size = 20_000, 1_000
    with serving(world, tmp_path, option, str(limit)) as server, calling(world, server, V4) as call:
        began = time.monotonic()
        for _ in range(100):
            call.client.send_on(CHANNEL, bytes(size))
        call.client.fence()
        came = size * len(call.heard()[0])
        assert 0 < came <= limit * (1 + time.monotonic() - began)


def test_limit_that_comes_by_reload_holds_for_what_is_made_after_it(
    world: Ground, tmp_path: Path
) -> None:
    config = tmp_path / "turn.toml"
    config.write_text("")
    with (
        serving(world, tmp_path, "--config", str(config)) as server,
        calling(world, server, V4) as before,
    ):
        config.write_text("max-bps = 100000")
        reload(server, 1)
        with calling(world, server, V4) as after:
            assert (before.both(), after.both()) == (FAST, ("slow", "slow"))
        config.write_text("")
        reload(server, 2)
        with calling(world, server, V6) as again:
            assert (before.both(), again.both()) == (FAST, FAST)


def test_peer_that_is_denied_by_reload_is_cut_off(world: Ground, tmp_path: Path) -> None:
    config = tmp_path / "turn.toml"
    config.write_text("")
    with (
        serving(world, tmp_path, "--config", str(config)) as server,
        calling(world, server, V4) as four,
        calling(world, server, V6) as six,
    ):
        assert (four.both(), six.both()) == (FAST, FAST)
        config.write_text(f'deny-peer = ["{V4.peer}"]')
        reload(server, 1)
        assert (four.both(), six.both()) == (NOTHING, FAST)


def reload(server: TurnUnderTest, times: int) -> None:
    """Have the server read its configuration, and wait until it has done so so many times."""
    os.kill(server.process.pid, signal.SIGHUP)
    await_line(server, rf"(?s)(reloaded.*){{{times}}}")


def test_drained_server_carries_what_there_is_and_stops(world: Ground, tmp_path: Path) -> None:
    with serving(world, tmp_path) as server, calling(world, server, V4) as call:
        os.kill(server.process.pid, signal.SIGTERM)
        await_line(server, "draining")
        assert call.both() == FAST
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(10)
        assert call.both() == NOTHING
