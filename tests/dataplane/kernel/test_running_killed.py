"""A server, or a worker of it, is killed under load: nothing stays, and no packet goes astray."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import platform
import re
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel import syscalls
from tests.dataplane.kernel.ground import V4, V6, Ground, Side, ground
from tests.dataplane.kernel.serving import (
    NOTHING,
    SIDES,
    await_line,
    calling,
    eventually,
    has_program,
    load,
    serving,
)
from tests.turnserver import TurnUnderTest

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

FAST = ("fast", "fast")
NEXT_ID = {"prog_id": 11, "map_id": 12, "link_id": 31}
"""Commands of bpf(2) that list programs, maps and links, by what fdinfo calls their numbers."""
OTHER_PEERS = {V4: "10.9.2.3", V6: "fd00:2::3"}
PORT = 3478
AGAIN = ("--listen", f"udp://{V4.server}:{PORT}", "--listen", f"udp://[{V6.server}]:{PORT}")
"""The next server has the same addresses, where packets for the one before still go."""


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        for side, ip in OTHER_PEERS.items():
            size = "64" if side.ipv6 else "24"
            made.peer.command(["ip", "addr", "add", f"{ip}/{size}", "dev", "link"])
        yield made


@contextlib.contextmanager
def serving_again(world: Ground, where: Path, workers: int, ports: int) -> Iterator[TurnUnderTest]:
    """Run a server on the same addresses as any other one of these."""
    where.mkdir()
    words = ["--workers", str(workers), "--relay-ports", f"50000-{50000 + ports - 1}"]
    with serving(world, where, *AGAIN, *words) as server:
        yield dataclasses.replace(server, port=PORT)


def held(server: TurnUnderTest) -> set[tuple[str, int]]:
    """Return the programs, maps and links that a server has open."""
    found = set[tuple[str, int]]()
    for pid in server.pids:
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            with contextlib.suppress(FileNotFoundError):
                numbers = re.findall(r"^(\w+_id):\s*(\d+)$", info.read_text(), re.MULTILINE)
                found |= {(kind, int(number)) for kind, number in numbers if kind in NEXT_ID}
    return found


def living() -> set[tuple[str, int]]:
    """Return all that is in this kernel."""
    found, libc = set[tuple[str, int]](), ctypes.CDLL(None)
    call = syscalls.NUMBERS[platform.machine()]
    for kind, command in NEXT_ID.items():
        number = 0
        while True:
            attributes = ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 12)
            if libc.syscall(call, command, attributes, 12) < 0:
                break
            number = struct.unpack_from("=I", attributes, 4)[0]
            found.add((kind, number))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_server_leaves_no_program_and_no_map_and_the_next_takes_over(
    world: Ground, tmp_path: Path, workers: int
) -> None:
    sides = (V4, V4, V6, V6)
    with contextlib.ExitStack() as stack:
        with serving_again(world, tmp_path / "one", workers, 2 * workers) as server:
            old = [stack.enter_context(calling(world, server, side)) for side in sides]
            assert {call.both() for call in old} == {FAST}
            own = held(server)
            assert {kind for kind, _ in own} == NEXT_ID.keys()
            assert own <= living()
            stack.enter_context(load(old))
            server.process.kill()
            server.process.wait(10)
            assert not has_program(world)
            assert eventually(lambda: not own & living())  # the kernel frees them a moment later
            assert {call.both() for call in old} == {NOTHING}
        with serving_again(world, tmp_path / "two", workers, 2 * workers) as server:
            new = [
                stack.enter_context(calling(world, server, side, OTHER_PEERS[side]))
                for side in sides
            ]
            if workers == 1:
                assert {call.relayed for call in old} == {call.relayed for call in new}
            assert {call.both() for call in new} == {FAST}
            assert {call.both() for call in old} == {NOTHING}
        assert [call.strays() for call in (*old, *new)] == [[]] * 8


@SIDES
def test_workers_share_the_table_and_a_killed_ones_calls_end(
    world: Ground, tmp_path: Path, side: Side
) -> None:
    with (
        serving_again(world, tmp_path / "one", 2, 16) as server,
        contextlib.ExitStack() as stack,
    ):
        old = [stack.enter_context(calling(world, server, side)) for _ in range(4)]
        assert {call.both() for call in old} == {FAST}
        own = held(server)
        stack.enter_context(load(old))
        os.kill(server.pids[1], signal.SIGKILL)
        lost = await_line(server, r"worker lost .* allocations=(\d+)")
        ended = set[str]()
        while len(ended) < int(lost[1]):  # their lines follow
            ended = set(re.findall(r"ended .*relayed=(\S+)", server.log.read_text()))
        for call in old:
            assert call.both() == (NOTHING if str(call.relayed) in ended else FAST)
        new = [
            stack.enter_context(calling(world, server, side, OTHER_PEERS[side])) for _ in range(4)
        ]
        assert {call.both() for call in new} == {FAST}
        assert held(server) == own  # what took its place has the same maps, and nothing more
        assert [call.strays() for call in (*old, *new)] == [[]] * 8
