"""Start the TURN server that a test speaks to: natkit's, or coturn to hold a test against."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from natkit.lab.netns.namespace import Namespace, enter
from natkit.wire import TransportAddress
from tests.needs import SBIN
from tests.ports import free_port

USER = ("user", "pass-word")
OTHER = ("other", "word-pass")
REALM = "example.org"
SECRET = "secret-of-the-fleet"

BEYOND = "natkit-xdp"
"""natkit at the other end of a wire, with its fast path (tests/turnbeyond.py)."""

_ASKED_FOR = os.environ.get("TURN_UNDER_TEST", "")

PROGRAMS = [_ASKED_FOR] if _ASKED_FOR not in ("", BEYOND) else ["natkit", "natkit-crew"]
"""Servers on loopback: what TURN_UNDER_TEST says, or natkit with one worker and two."""

ONLY_BEYOND = pytest.param(BEYOND, marks=[pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")])
SERVERS = {"": [*PROGRAMS, ONLY_BEYOND], BEYOND: [ONLY_BEYOND]}.get(_ASKED_FOR, PROGRAMS)
"""What raw bytes are sent to: those, and natkit with the fast path."""

START = 15.0
"""Seconds for a server to be ready."""


@dataclass(frozen=True, slots=True)
class Around:
    """Where the clients and the peers of a server are.

    Attributes:
        peers, peers_ipv6: IPs that peers may have, which the server lets in where it lets any.
        sources:           the first of the IPs that clients send from, each from another one.
        inside:            a test that speaks with the server runs in there; None: nowhere else.
        in_kernel:         returns how many packets the kernel has forwarded.
    """

    peers: tuple[str, ...] = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    peers_ipv6: tuple[str, ...] = ("::1",)
    sources: str = "127.1.0.0"
    inside: Namespace | None = None
    in_kernel: Callable[[], int] = lambda: 0

    def source(self, number: int) -> str:
        """Return one of the IPs that clients may send from."""
        return str(ipaddress.IPv4Address(self.sources) + number % (1 << 22))

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it starts, be there until the block ends."""
        if self.inside is None:
            yield
            return
        home, there = (
            os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", self.inside.path)
        )
        try:
            enter(there)
            yield
        finally:
            enter(home)
            os.close(home)
            os.close(there)


LOOPBACK = Around()


@dataclass(frozen=True, slots=True)
class TurnUnderTest:
    """A running server.

    Attributes:
        ips:      where it listens; udp and tcp on `port`, tls and dtls on `tls_port`.
        ca_file:  the authority that its certificate (localhost) is from.
        log:      what it has said up to now.
        relay:    the IPs that it relays from.
        around:   where its clients and peers are.
    """

    ips: tuple[str, ...]
    port: int
    tls_port: int
    ca_file: Path
    process: subprocess.Popen[bytes]
    log: Path
    relay: tuple[str, ...]
    around: Around

    @property
    def ip(self) -> str:
        """The first IP that it listens on."""
        return self.ips[0]

    @property
    def address(self) -> TransportAddress:
        """Its first listener."""
        return TransportAddress(self.ip, self.port)

    @property
    def trust(self) -> ssl.SSLContext:
        """What a TLS client needs to believe it."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    @property
    def resident(self) -> int:
        """Bytes of memory that it and its children hold."""
        pages = 0
        for pid in self.pids:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """Open descriptors of it and its children."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids)

    @property
    def pids(self) -> list[int]:
        """Its process and the children of that."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]


@contextlib.contextmanager
def turn_server(
    where: Path,
    *words: str,
    ips: Sequence[str] = ("127.0.0.1", "::1"),
    relay: Sequence[str] = (),
    users: Sequence[tuple[str, str]] = (USER, OTHER),
    allow: Sequence[str] = (),
    program: str = "",
    module: str = "natkit",
    around: Around = LOOPBACK,
    under: Sequence[str] = (),
) -> Iterator[TurnUnderTest]:
    """Run a server until the block ends.

    Args:
        where:   an empty directory.
        words:   more of its command line.
        ips:     to listen on.
        relay:   IPs to relay from; none: those it listens on.
        users:   none: `words` says who may.
        allow:   networks of peers that are refused otherwise; coturn allows all of loopback.
        program: "natkit", "natkit-crew" (it has two workers) or "coturn"; "": the first of
                 PROGRAMS.
        module:  what Python runs as natkit's command line.
        around:  where clients and peers are.
        under:   a program that becomes natkit, with its words: setpriv.
    """
    program = program or PROGRAMS[0]
    port, tls_port = free_port(), free_port()
    ca_file = certificates(where, ips)
    command = _coturn if program == "coturn" else _natkit
    argv = [*command(where, ips, relay or ips, users, port, tls_port), *words]
    if program == "natkit-crew":
        argv += ["--workers", "2"]
    if program != "coturn":
        argv[2] = module
        argv += [word for network in allow for word in ("--allow-peer", network)]
    elif allow:
        argv.append("--allow-loopback-peers")
    log = where / "log"
    with log.open("wb") as output:
        environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{SBIN}",
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen([*under, *argv], stdout=output, stderr=output, env=environment)
    try:
        _await_ready(process, log, "Total General servers" if program == "coturn" else "ready turn")
        yield TurnUnderTest(
            *(tuple(ips), port, tls_port, ca_file, process, log, tuple(relay or ips), around)
        )
    finally:
        process.kill()
        # The kernel takes a program from an interface when nobody else is changing networks.
        process.wait(30)


def certificates(where: Path, ips: Sequence[str] = ("127.0.0.1", "::1")) -> Path:
    """Write cert.pem and key.pem for localhost and IPs; return the file of their authority."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", *ips)
    issued.cert_chain_pems[0].write_to_path(str(where / "cert.pem"))
    issued.private_key_pem.write_to_path(str(where / "key.pem"))
    authority.cert_pem.write_to_path(str(where / "ca.pem"))
    return where / "ca.pem"


def _natkit(
    where: Path,
    ips: Sequence[str],
    relay: Sequence[str],
    users: Sequence[tuple[str, str]],
    port: int,
    tls_port: int,
) -> list[str]:
    argv = [sys.executable, "-m", "natkit", "turn", "serve", "--realm", REALM, "--metrics", "off"]
    for ip in ips:
        host = f"[{ip}]" if ":" in ip else ip
        for listener in (
            f"udp://{host}:{port}",
            f"tcp://{host}:{port}",
            f"tls://{host}:{tls_port}",
            f"dtls://{host}:{tls_port}",
        ):
            argv += ["--listen", listener]
    for ip in relay:
        argv += ["--relay-address", f"{ip}={ip}"]
    for name, password in users:
        argv += ["--user", f"{name}:{password}"]
    return [*argv, "--tls-cert", str(where / "cert.pem"), "--tls-key", str(where / "key.pem")]


def _coturn(
    where: Path,
    ips: Sequence[str],
    relay: Sequence[str],
    users: Sequence[tuple[str, str]],
    port: int,
    tls_port: int,
) -> list[str]:
    argv = ["turnserver", "-n", "--no-cli", "--log-file", "stdout", "--lt-cred-mech", "--mobility"]
    argv += ["--realm", REALM, "-p", str(port), "--tls-listening-port", str(tls_port)]
    argv += ["--cert", str(where / "cert.pem"), "--pkey", str(where / "key.pem")]
    argv += ["--pidfile", str(where / "pid"), "--userdb", str(where / "db")]
    for ip in ips:
        argv += ["-L", ip]
    for ip in relay:
        argv += ["-E", ip]
    for name, password in users:
        argv += ["--user", f"{name}:{password}"]
    return argv


def _await_ready(process: subprocess.Popen[bytes], log: Path, sign: str) -> None:
    for _ in range(round(START / 0.05)):
        if sign in log.read_text(errors="replace"):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        time.sleep(0.05)
    pytest.fail(log.read_text(errors="replace"))
