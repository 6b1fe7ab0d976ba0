"""What a server sets in the kernel for the fast path is as it was when the server has ended."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataplane.kernel.ground import V4, V6, Ground, ground
from tests.dataplane.kernel.serving import calling, eventually, serving

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

BEFORE = {f"net/{version}/conf/lo/forwarding": "0" for version in ("ipv4", "ipv6")}
FAST = ("fast", "fast")


@pytest.fixture
def world() -> Iterator[Ground]:
    """A relay whose owner has set nothing."""
    with ground() as made:
        made.relay.sysctl(BEFORE)
        yield made


def settings(world: Ground) -> list[str]:
    return [world.relay.command(["cat", f"/proc/sys/{name}"]).strip() for name in BEFORE]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_settings_are_put_back_when_the_server_ends(
    world: Ground, tmp_path: Path, how: signal.Signals, workers: str
) -> None:
    with serving(world, tmp_path, "--workers", workers, "--drain-time", "1ms") as server:
        assert settings(world) == ["1", "1"]
        with calling(world, server, V4) as four, calling(world, server, V6) as six:
            assert (four.both(), six.both()) == (FAST, FAST)
        server.process.send_signal(how)
        server.process.wait(10)
        if how is signal.SIGTERM:
            assert settings(world) == ["0", "0"]
        assert eventually(lambda: settings(world) == ["0", "0"])


def test_check_of_a_configuration_sets_nothing_and_attaches_nothing(
    world: Ground,
) -> None:
    words = ["-m", "natkit", "turn", "serve", "--check-config", "--user", "a:b", "--metrics", "off"]
    words += ["--listen", f"udp://{V4.server}:3478", "--relay-address", f"{V4.server}={V4.server}"]
    said = world.relay.command([sys.executable, *words, "--fast-path", "xdp:client"])
    assert "This configuration works here" in said
    assert settings(world) == ["0", "0"]
    assert "xdp" not in world.relay.command(["ip", "link", "show", "client"])
