"""Nothing is left behind, however the process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from natkit.errors import NatkitError
from natkit.lab import netns
from natkit.lab.netns import NamespaceWorld
from natkit.lab.netns.namespace import Namespace
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.topology import World

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "nft", "ip", "lsns")]

PATIENCE = 5.0

CHILD = """
import os, sys, time
from pathlib import Path
from natkit.lab.netns import NamespaceWorld
from natkit.lab.scenarios import SCENARIOS

with NamespaceWorld(SCENARIOS["double"].topology) as world:
    sleeper = world.spawn("bob", ["sleep", "1000"])
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if
             Path(f"/proc/self/fd/{fd}").exists()]
    made = [link[5:-1] for link in links if link.startswith("net:[")]
    print(sleeper.pid, *made, flush=True)
    time.sleep(1000)
"""


def _namespaces() -> set[str]:
    shown = subprocess.run(
        ["lsns", "--type", "net", "--noheadings", "--output", "NS"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().split()[2] == "Z"


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_leaves_no_namespace_and_no_program(
    deadly: signal.Signals,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    with child:
        sleeper, *made = child.stdout.readline().split()
        assert len(made) == 8  # seven nodes and the switch
        assert set(made) & _namespaces()
        child.send_signal(deadly)
        child.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while set(made) & _namespaces() or not _gone(int(sleeper)):
        assert time.monotonic() < deadline, "something is still there"
        time.sleep(0.02)


def test_a_world_that_failed_inside_is_taken_down() -> None:
    async def main(world: World) -> None:
        raise NatkitError("on purpose")

    descriptors = _open_files()
    with pytest.raises(NatkitError, match="on purpose"):
        netns.run(SCENARIOS["home"].topology, main)
    assert _open_files() == descriptors


def test_a_world_that_could_not_be_built_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Namespace, argv: list[str], text: str = "") -> str:
        raise NatkitError("no")

    monkeypatch.setattr(Namespace, "command", refuse)
    descriptors = _open_files()
    with pytest.raises(NatkitError, match="no"):
        NamespaceWorld(SCENARIOS["home"].topology).__enter__()
    assert _open_files() == descriptors
