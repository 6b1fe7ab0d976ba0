"""The settings that let the kernel find routes for a relay: made, and put back at its end.

Who made a setting has given up the right to it by then (natkit.dataplane.kernel.privileges), so it
starts a keeper before: this file as a program, which has that right still, waits until its standard
input ends, as it does when the server is killed, and puts back what was there. Every server that
needs the settings holds a lock on them; while another one does, they stay.

Rule of the file: nothing but the standard library, since the keeper runs it alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SETTINGS = tuple(
    Path(f"/proc/sys/net/{version}/conf/lo/forwarding") for version in ("ipv4", "ipv6")
)
"""The kernel finds routes only for an interface that forwards. For what this machine makes itself,
as a relay does, that is the loopback interface, where it changes nothing else."""

_PATIENCE = 2.0
"""Seconds for a server that was killed, and for its workers, to let go of its locks."""


class Forwarding:
    """The settings while a server needs them.

    Raises: OSError: one of them cannot be read or made; `filename` says which.
    """

    def __init__(self, settings: Sequence[Path] = SETTINGS) -> None:
        self._locks: list[int] = []
        self._before: list[tuple[Path, str]] = []
        self._keeper: subprocess.Popen[bytes] | None = None
        try:
            for setting in settings:
                if setting.exists():
                    self._make(setting)
        except BaseException:
            self.close()
            raise

    def _make(self, setting: Path) -> None:
        self._locks.append(os.open(setting, os.O_RDONLY))
        _lock(self._locks[-1], alone=False)
        before = setting.read_text(encoding="ascii").strip()
        if before == "1":
            return
        try:
            setting.write_text("1", encoding="ascii")
        except OSError as error:
            error.filename = str(setting)
            raise
        self._before.append((setting, before))

    @property
    def made(self) -> tuple[Path, ...]:
        """The settings that were something else before."""
        return tuple(setting for setting, _ in self._before)

    def keep(self) -> None:
        """Have what was made put back when this process has ended, however it does.

        Raises: OSError: no process can be started for it.
        """
        if self._before and self._keeper is None:
            pairs = [word for setting, value in self._before for word in (str(setting), value)]
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, *pairs],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """Put back what was there before, unless another server needs it. Twice is harmless."""
        while self._locks:
            os.close(self._locks.pop())
        if self._keeper is not None:
            self._keeper.communicate(b"ended")
            self._keeper = None
        else:
            put_back(self._before)
        self._before.clear()


def put_back(before: Sequence[tuple[Path, str]], patience: float = 0.0) -> None:
    """Set what was changed to what it was; leave what others need, or have changed since.

    Args: patience: seconds for others to let go.
    """
    end = time.monotonic() + patience
    for setting, value in before:
        with contextlib.suppress(OSError), setting.open(encoding="ascii") as locked:
            while not _lock(locked.fileno(), alone=True) and time.monotonic() < end:
                time.sleep(0.02)
            if _lock(locked.fileno(), alone=True) and locked.read().strip() == "1":
                setting.write_text(value, encoding="ascii")


def _lock(descriptor: int, *, alone: bool) -> bool:
    """Lock a file with others, or alone if that is possible at once; False: it is not."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        return False
    return True


def main(words: Sequence[str]) -> None:
    """Be the keeper: of settings, each followed by what it was."""
    # Whoever ends the server by these ends all of its group or unit, and this has to outlive it.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    told = sys.stdin.buffer.read()
    before = [(Path(name), value) for name, value in zip(words[::2], words[1::2], strict=True)]
    put_back(before, 0.0 if told else _PATIENCE)


if __name__ == "__main__":
    main(sys.argv[1:])
