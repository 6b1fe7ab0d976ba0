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
from typing import NamedTuple

from natkit.errors import NatkitError, Unsupported
from natkit.lab.netns import programs
from natkit.machine import Seconds
from natkit.wire import TransportAddress

REALM, USER, PASSWORD = "bench", "user", "password"

AT = "127.0.0.1"
PEERS = "127.0.0.1"

START: Seconds = 60.0

_WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from natkit.__main__ import run; run()"


class Site(NamedTuple):
    """Where a server runs. Attributes: peers: a network, whose peers it may relay to."""

    server: str
    relayed: str
    peers: str


LOOPBACK = Site(AT, AT, PEERS)


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


def coturn_name() -> str:
    """Return its name with its version. Raises: Unsupported: it is not installed."""
    if programs.find("turnserver") is None:
        raise Unsupported("no program turnserver here", hint="Install it: apt install coturn")
    return f"coturn {programs.run(['turnserver', '--version']).split()[-1]}"


@contextlib.contextmanager
def natkit(
    port: int,
    workers: int = 1,
    *,
    site: Site = LOOPBACK,
    uvloop: bool = True,
    fast_path: str = "off",
) -> Iterator[Server]:
    """Run `natkit turn serve` as it is by default, but for its peers at the site."""
    start = ["-m", "natkit"] if uvloop else ["-c", _WITHOUT_UVLOOP]
    words = ["--listen", f"udp://{site.server}:{port}", "--realm", REALM]
    words += ["--user", f"{USER}:{PASSWORD}", "--relay-address", f"{site.relayed}={site.relayed}"]
    words += ["--allow-peer", site.peers, "--workers", str(workers), "--fast-path", fast_path]
    argv = [sys.executable, *start, "turn", "serve", *words]
    with running(argv, port, "ready turn", site.server) as server:
        yield server


@contextlib.contextmanager
def coturn(port: int, *, site: Site = LOOPBACK, one_thread: bool = False) -> Iterator[Server]:
    """Run coturn as it is by default, but for its peers on loopback.

    Args: one_thread: packets and control messages are one thread's work, not one of each CPU.
    """
    with tempfile.TemporaryDirectory() as where:
        argv = [programs.find("turnserver") or "turnserver", "-n", "--no-cli", "--no-tls"]
        argv += ["--no-dtls", "--log-file", "stdout", "--lt-cred-mech", "--allow-loopback-peers"]
        argv += ["-L", site.server, "-E", site.relayed, "-p", str(port), "--realm", REALM]
        argv += ["--user", f"{USER}:{PASSWORD}", "--simple-log"]
        argv += ["--pidfile", f"{where}/pid", "--userdb", f"{where}/db"]
        argv += ["-m", "0"] if one_thread else []
        with running(argv, port, "Total General servers", site.server) as server:
            yield server


@contextlib.contextmanager
def running(argv: list[str], port: int, sign: str, ip: str = AT) -> Iterator[Server]:
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
            yield Server(TransportAddress(ip, port), process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
