"""Start the servers of others that tests speak to, each on loopback, and empty."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.needs import SBIN
from tests.ports import free_port

START = 20.0
"""Seconds for a server to be ready."""


def program(name: str) -> str:
    """Return where a server is: Debian keeps PostgreSQL's off the PATH."""
    places = [
        os.environ.get("PATH", ""),
        SBIN,
        *map(str, Path("/usr/lib/postgresql").glob("*/bin")),
    ]
    found = shutil.which(name, path=os.pathsep.join(places))
    assert found is not None, f"{name} is not installed"
    return found


@contextlib.contextmanager
def postgresql(*, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Run PostgreSQL; gives its URL. It refuses to run as root, so it runs as `postgres`.

    Args: tls: certificate and key; then it takes no connection without TLS.
    """
    # Not in pytest's directory, into which `postgres` cannot look.
    with tempfile.TemporaryDirectory(prefix="calto-postgresql-") as where:
        yield from _postgresql(Path(where), tls)


def _postgresql(where: Path, tls: tuple[Path, Path] | None) -> Iterator[str]:
    port = free_port(1)
    data = where / "data"
    data.mkdir()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    if tls is not None:
        for name, file in zip(("server.crt", "server.key"), tls, strict=True):
            shutil.copy(file, where / name)
            (where / name).chmod(0o600)
        options += (
            f" -c ssl=on -c ssl_cert_file={where}/server.crt -c ssl_key_file={where}/server.key"
        )
    password = where / "password"
    password.write_text("s3cret")
    subprocess.run(["chown", "-R", "postgres", str(where)], check=True)

    def run(*words: str) -> None:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        done = subprocess.run([*user, *words], cwd=where, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    run(
        program("initdb"), "-D", str(data), "-U", "calto", "-A", "scram-sha-256",
        f"--pwfile={password}",
    )  # fmt: skip
    if tls is not None:
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    log = str(where / "log")
    run(program("pg_ctl"), "-D", str(data), "-o", options, "-l", log, "-w", "start")
    try:
        yield f"postgresql://calto:s3cret@127.0.0.1:{port}/postgres"
    finally:
        run(program("pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")


@contextlib.contextmanager
def redis(where: Path, port: int | None = None) -> Iterator[str]:
    """Run Redis; gives its URL."""
    port = port or free_port(1)
    words = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen([*words, "--dir", str(where)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


def wait_for_port(port: int) -> None:
    """Wait until somebody accepts connections."""
    end = time.monotonic() + START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def oidc_provider(*users: dict[str, str]) -> Iterator[str]:
    """Run an OpenID Connect provider that knows these claims; gives its issuer."""
    port = free_port(1)
    words = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"]
    for user in users:
        words += ["--user-claims", json.dumps(user)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait(10)
