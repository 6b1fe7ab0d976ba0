"""A program that runs in a node: coturn, miniupnpd, anything that speaks the network."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence

from natkit.lab.netns import programs
from natkit.lab.netns.namespace import Namespace

_PATIENCE = 5.0  # seconds for a killed program to be gone


class Service:
    """A running program. It ends with the world, and by the kernel's hand if we are killed.

    Raises: Unsupported: the program is not installed.
    """

    def __init__(self, namespace: Namespace, argv: Sequence[str]) -> None:
        command = [programs.path_of("setpriv"), "--pdeathsig", "KILL", "--"]
        command += [programs.path_of(argv[0]), *argv[1:]]
        output = os.memfd_create("output")
        self._output: int | None = output
        # The death signal comes when the *thread* that started the program ends, so it must be
        # one of the namespace's, which live as long as the namespace.
        self._process = namespace.call(
            lambda: subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    async def wait(self) -> int:
        """Wait until it has ended. Returns: its exit code, negative for a signal."""
        return await asyncio.to_thread(self._process.wait)

    def output(self) -> str:
        """Return all that it has printed so far, to both of its outputs; nothing once closed."""
        if self._output is None:
            return ""
        size = os.fstat(self._output).st_size
        return os.pread(self._output, size, 0).decode(errors="replace")

    def close(self) -> None:
        """Kill it, and forget what it printed. The world calls this; twice is harmless."""
        self._process.kill()
        self._process.wait(_PATIENCE)
        output, self._output = self._output, None
        if output is not None:
            os.close(output)
