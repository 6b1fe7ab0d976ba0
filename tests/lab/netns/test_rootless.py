"""The lab without root: in a user namespace, and the words where that is refused."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import natkit

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "nft", "ip", "setpriv")]

ROOT = Path(natkit.__file__).parent.parent
PACKAGES = Path(next(path for path in sys.path if path.endswith("site-packages")))
OURS = ("natkit", "tests")
LIBRARIES = ("click", "dns", "ifaddr", "rich")

OBSERVE = """
from natkit.lab import netns
from natkit.lab.scenarios import SCENARIOS
from tests.lab.observe import expected, observe

netns.enter_user_namespace()
for name in ("home", "symmetric-adf", "sequential", "pool-arbitrary", "double"):
    assert netns.run(SCENARIOS[name].topology, observe) == expected(SCENARIOS[name]), name
print("as the scenarios say")
"""

LIFETIME = """
from pathlib import Path
from natkit.lab import netns
from natkit.lab.scenarios import SCENARIOS

netns.enter_user_namespace()
with netns.NamespaceWorld(SCENARIOS["short-lifetime"].topology) as world:
    shown = world._namespaces["home"].call(
        Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout").read_text
    )
print(shown)
"""

REFUSED = """
from natkit.errors import Unsupported
from natkit.lab import netns
from natkit.lab.scenarios import SCENARIOS

try:
    netns.run(SCENARIOS["home"].topology, None)
except Unsupported as error:
    print(error)
"""

COMMAND = """
from natkit.cli.main import main
main(["lab", "probe", "adm-adf", "--backend", "netns"])
"""

CAPABLE = """
from natkit.lab import netns
found = netns.capability()
print(found.privilege, found.ready)
"""


@functools.cache
def readable_copy() -> Path:
    """Return a folder from which anybody can import natkit: the clone's may be root's alone."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for source in (*(ROOT / name for name in OURS), *(PACKAGES / name for name in LIBRARIES)):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def as_nobody(program: str) -> str:
    """Run a Python program as an unprivileged user and return what it printed."""
    for python in (sys.executable, "/usr/bin/python3"):
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
        done = subprocess.run(
            [*command, python, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(readable_copy()),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        if "Permission denied" not in done.stderr or "setpriv: failed" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()
    pytest.skip("an unprivileged user cannot run any Python here")


def test_an_unprivileged_user_gets_real_nats_in_a_user_namespace() -> None:
    assert as_nobody(OBSERVE) == "as the scenarios say"


def test_a_lifetime_can_be_set_without_root() -> None:
    assert as_nobody(LIFETIME) == "2"


def test_without_a_user_namespace_the_refusal_says_what_to_do() -> None:
    words = as_nobody(REFUSED)
    assert "may not make network namespaces" in words
    assert "natkit doctor" in words


def test_capability_finds_the_user_namespace() -> None:
    assert as_nobody(CAPABLE) == "Privilege.USER_NAMESPACE True"


def test_the_command_line_needs_no_root() -> None:
    words = as_nobody(COMMAND)
    assert words.endswith("The probe contradicts nothing of what the lab has built.")
