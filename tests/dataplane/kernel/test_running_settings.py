"""What a server sets in the kernel for the fast path is as it was when the server has ended."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataplane.kernel.ground import V4, V6, Ground, ground
from tests.dataplane.kernel.serving import await_line, calling, eventually, has_program, serving

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


UNABLE = ["bash", "-c", 'ulimit -u 1; exec "$@"', "bash", "setpriv", "--reuid", "65534"]
UNABLE += ["--clear-groups"]
UNABLE += [f"--{kind}-caps=+bpf,+net_admin,+perfmon" for kind in ("inh", "ambient")]
"""May load the program and make the settings, and start no process."""


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that users other than root may read: pytest's own may not be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.needs("bash", "setpriv")
def test_where_no_process_can_be_started_to_put_settings_back_auto_goes_without(
    world: Ground, open_to_all: Path
) -> None:
    with (
        serving(world, open_to_all, fast_path="auto", under=UNABLE) as server,
        calling(world, server, V4) as call,
    ):
        assert call.both() == ("slow", "slow")
        said = await_line(server, "no fast path (why=.*)")[1]
        assert "no process for it can be started" in said
        assert settings(world) == ["0", "0"]
        assert not has_program(world)


@pytest.mark.needs("bash", "setpriv")
def test_where_no_process_can_be_started_to_put_settings_back_xdp_says_what_to_do(
    world: Ground, open_to_all: Path
) -> None:
    with (
        pytest.raises(AssertionError, match=r"sysctl net\.ipv4\.conf\.lo\.forwarding=1 net\.ipv6"),
        serving(world, open_to_all, under=UNABLE),
    ):
        pass
    assert settings(world) == ["0", "0"]
    assert not has_program(world)
