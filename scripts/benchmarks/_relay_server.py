"""The servers of the relay benchmark: each started the same way, measured from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from natkit.errors import NatkitError
from natkit.lab.netns import programs
from natkit.machine import Seconds
from natkit.wire import TransportAddress

REALM, USER, PASSWORD = "bench", "user", "password"

AT = "127.0.0.1"
PEERS = "127.0.0.1"

START: Seconds = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        address: its UDP listener.
        pid:     its first process.
    """

    address: TransportAddress
    pid: int

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu(self) -> Seconds:
        """Return the CPU time of all its threads up to now."""
        stats = (
            stat for pid in self.pids for stat in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )
        return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9

    def shared_out(self) -> int:
        """Return the bytes that it holds, those shared with others in parts (PSS)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids)
        lines = (line.split() for text in rollups for line in text.splitlines())
        return sum(int(words[1]) * 1024 for words in lines if words[0] == "Pss:")

    def memory(self) -> int:
        """Return the bytes that it holds."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self.pids)
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def natkit(port: int, workers: int = 1) -> Iterator[Server]:
    """Run `natkit turn serve` as it is by default, but for its peers on loopback."""
    words = ["--listen", f"udp://{AT}:{port}", "--realm", REALM, "--user", f"{USER}:{PASSWORD}"]
    words += ["--relay-address", f"{AT}={AT}", "--allow-peer", PEERS]
    argv = [sys.executable, "-m", "natkit", "turn", "serve", *words, "--workers", str(workers)]
    with running(argv, port, "ready turn") as server:
        yield server


@contextlib.contextmanager
def coturn(port: int) -> Iterator[Server]:
    """Run coturn as it is by default, but for its peers on loopback."""
    with tempfile.TemporaryDirectory() as where:
        argv = [programs.find("turnserver") or "turnserver", "-n", "--no-cli", "--no-tls"]
        argv += ["--no-dtls", "--log-file", "stdout", "--lt-cred-mech", "--allow-loopback-peers"]
        argv += ["-L", AT, "-E", AT, "-p", str(port), "--realm", REALM]
        argv += ["--user", f"{USER}:{PASSWORD}", "--simple-log"]
        argv += ["--pidfile", f"{where}/pid", "--userdb", f"{where}/db"]
        with running(argv, port, "Total General servers") as server:
            yield server


@contextlib.contextmanager
def running(argv: list[str], port: int, sign: str) -> Iterator[Server]:
    """Run a server until the block ends. Raises: NatkitError: it does not get ready."""
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + START
            while sign not in Path(log.name).read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > until:
                    why = Path(log.name).read_text(errors="replace")[-500:]
                    raise NatkitError(f"{argv[0]} did not start", why=why)
                time.sleep(0.05)
            yield Server(TransportAddress(AT, port), process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
