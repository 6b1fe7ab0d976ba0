"""The system's programs that the lab runs, found and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from natkit.errors import NatkitError, Unsupported

PACKAGES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "bridge": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""What the lab needs, and the Debian package that brings it."""

_PATIENCE = 20.0  # seconds for one run; they take milliseconds


def find(name: str) -> str | None:
    """Return the path of a program; None: it is not installed."""
    # Not everybody has the system's programs on the PATH: on Debian only root does.
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def path_of(name: str) -> str:
    """Return the path of a program. Raises: Unsupported: it is not installed."""
    path = find(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise Unsupported(
            f"the program {name!r} is not installed", hint=f"Try: apt install {package}"
        )
    return path


def run(argv: Sequence[str], text: str = "") -> str:
    """Run a program in the calling thread's namespace, with `text` on its standard input.

    Returns: its standard output.
    Raises:  Unsupported: it is not installed. NatkitError: it failed, with its own words.
    """
    name, *arguments = argv
    done = subprocess.run(
        [path_of(name), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise NatkitError(f"`{' '.join(argv)}` failed", why=done.stderr.strip()[:2000])
    return done.stdout
