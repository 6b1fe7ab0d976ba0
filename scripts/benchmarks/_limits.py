"""Let servers have no more than a share of a processor, so that they, and not the generator of the
load, are what is busy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from natkit.errors import Unsupported

_GROUPS = Path("/sys/fs/cgroup/cpu")
_PERIOD = 20_000
"""Microseconds in which a server may use up its share: shorter than the kernel's 100 ms, since it
stands still for the rest of them."""


def can_limit() -> bool:
    """Tell whether processes can be limited here: as root, with cgroups of the first version."""
    try:
        with limited([], 0.5):
            return True
    except Unsupported:
        return False


@contextlib.contextmanager
def limited(pids: list[int], share: float) -> Iterator[None]:
    """Let processes have no more than `share` of a processor together, while the block lasts.

    Raises: Unsupported: this system lets nobody limit a process.
    """
    group = _GROUPS / f"natkit-bench-{os.getpid()}-{'-'.join(map(str, pids))}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(_PERIOD * share)))
    except OSError as error:
        raise Unsupported("no process can be limited here", why=str(error)) from None
    try:
        _move(pids, group)
        yield
    finally:
        _move(pids, _GROUPS)
        group.rmdir()


def _move(pids: list[int], group: Path) -> None:
    for pid in pids:
        (group / "cgroup.procs").write_text(str(pid))
