"""What a test needs of the machine beyond Python, and how to find out whether it is there.

    @pytest.mark.needs("root", "turnserver")

A test whose needs are not met is skipped with the reason. With CI=true it fails instead: there,
everything is installed, so a skip would hide that nothing was tested.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable

from natkit.tools.relay_fast_path import refusal

SBIN = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Where Debian keeps servers and network tools; not on everybody's PATH."""


SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's bindings of C libraries are for it alone."""


def missing(need: str) -> str | None:
    """Return why `need` is not met; None when it is.

    Args: need: a key of `CHECKS`, or the name of a program.
    """
    check = CHECKS.get(need)
    if check is not None:
        return check()
    found = shutil.which(need, path=os.pathsep.join((os.environ.get("PATH", ""), SBIN)))
    return None if found else f"the program {need} is not installed"


def _root() -> str | None:
    if sys.platform == "win32" or os.geteuid() != 0:
        return "not root"
    return None


def _ipv6() -> str | None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        return f"no IPv6 on loopback: {error}"
    return None


def _libnice() -> str | None:
    asked = "import gi; gi.require_version('Nice', '0.1'); from gi.repository import Nice"
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", asked], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "libnice is not installed for the system's Python"
    return None


@functools.cache
def _xdp() -> str | None:
    return refusal()


CHECKS: dict[str, Callable[[], str | None]] = {
    "root": _root,
    "ipv6": _ipv6,
    "libnice": _libnice,
    "xdp": _xdp,
}
