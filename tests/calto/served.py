"""`calto serve` as owners run it: a process of its own, up to its ready line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Served:
    """A running server. Attributes: log: what it says on stderr."""

    url: str
    process: subprocess.Popen[str]
    log: Path


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "calto_demo.cli", "serve", *options]


@contextlib.contextmanager
def served(where: Path, *options: str) -> Iterator[Served]:
    """Run one in a directory, on ports of its own, until the block ends."""
    where.mkdir(exist_ok=True)
    port, turn = free_port(1), free_port(2)
    words = command("--listen", f"127.0.0.1:{port}", "--turn-port", str(turn), *options)
    log = where / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            words, cwd=where, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            yield Served(_ready(process, log), process, log)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready "):
            return line.split()[1]
    raise AssertionError(f"it ended: {log.read_text()}")
