"""A server has what loading takes until it has loaded, and goes on without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel.privileges import BPF, NET_ADMIN, PERFMON, SYS_ADMIN
from tests.dataplane.kernel.ground import V4, V6, Ground, ground
from tests.dataplane.kernel.serving import await_line, calling, eventually, serving
from tests.turnserver import TurnUnderTest

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "setpriv", "xdp")]

FAST = ("fast", "fast")
LOADING = (NET_ADMIN, SYS_ADMIN, PERFMON, BPF)
UNIT = Path(__file__).parents[3] / "packaging" / "natkit-turn.service"


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


def capabilities(server: TurnUnderTest) -> dict[str, int]:
    """Return all that any thread of a server has in each of its sets."""
    found: dict[str, int] = {}
    for pid in server.pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            lines = re.findall(r"Cap(\w+):\s*(\w+)", (task / "status").read_text())
            for name, mask in lines:
                found[name] = found.get(name, 0) | int(mask, 16)
    return found


def loading(server: TurnUnderTest) -> set[tuple[str, int]]:
    """Return those that loading takes, and where a server still has them."""
    sets = capabilities(server).items()
    return {(name, number) for name, mask in sets for number in LOADING if mask >> number & 1}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_goes_on_without_what_loading_took(
    world: Ground, tmp_path: Path, workers: str
) -> None:
    with serving(world, tmp_path, "--workers", workers) as server:
        assert loading(server) == set()
        with calling(world, server, V4) as four, calling(world, server, V6) as six:
            assert (four.both(), six.both()) == (FAST, FAST)
        assert "capabilities kept" not in server.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_without_the_fast_path_keeps_nothing_for_it(
    world: Ground, tmp_path: Path, workers: str
) -> None:
    with serving(world, tmp_path, "--workers", workers, fast_path="off") as server:
        assert loading(server) == set()


def test_auto_without_capabilities_says_so_in_one_line_and_goes_on(
    world: Ground, tmp_path: Path
) -> None:
    under = ["setpriv", "--bounding-set", "-all"]
    with (
        serving(world, tmp_path, fast_path="auto", under=under) as server,
        calling(world, server, V4) as call,
    ):
        said = await_line(server, "no fast path (why=.*)")[1]
        assert "a map of 65536 entries: Operation not permitted" in said
        assert "needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in said
        assert call.both() == ("slow", "slow")


def test_worker_that_takes_anothers_place_needs_nothing_either(
    world: Ground, tmp_path: Path
) -> None:
    with serving(world, tmp_path, "--workers", "2") as server:
        gone = server.pids[1]
        os.kill(gone, signal.SIGKILL)
        await_line(server, "worker lost")
        assert eventually(lambda: gone not in server.pids and len(server.pids) == 3)
        calls = [calling(world, server, V4) for _ in range(8)]
        for call in calls:
            with call as made:
                assert made.both() == FAST
        assert loading(server) == set()


def test_capabilities_of_the_unit_are_enough_to_load_and_are_gone_then(
    world: Ground, tmp_path: Path
) -> None:
    found = re.search("^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    names = [f"+{name.removeprefix('CAP_').lower()}" for name in found[1].split()]
    under = ["setpriv", "--bounding-set", ",".join(["-all", *names])]
    with serving(world, tmp_path, under=under) as server:
        assert capabilities(server)["Eff"] == 1 << 10  # CAP_NET_BIND_SERVICE
        with calling(world, server, V4) as call:
            assert call.both() == FAST


def test_kernel_that_asks_for_a_capability_with_every_entry_leaves_that() -> None:
    """As Linux before 5.19 does."""
    program = """
import errno
from pathlib import Path
from natkit.dataplane.kernel import privileges, syscalls

def refused(*_):
    raise syscalls.BpfRefused("take an entry out of its table", errno.EPERM)

syscalls.delete = refused
print(privileges.give_up(-1), Path("/proc/self/status").read_text())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("True")
    for name in ("Eff", "Prm", "Bnd"):
        mask = re.search(rf"Cap{name}:\s*(\w+)", done.stdout)
        assert mask is not None
        assert [number for number in LOADING if int(mask[1], 16) >> number & 1] == [BPF]
