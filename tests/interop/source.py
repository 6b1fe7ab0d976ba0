"""Source distributions of other people's packages, for the examples and tests they carry."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.conftest import cannot_run


def source_of(package: str, there: Path) -> Path:
    """Fetch the source distribution of the installed release into `there`, and unpack it.

    Returns: its top directory. Where it cannot be had, the test is skipped, or fails with CI=true.
    """
    wanted = f"{package}=={importlib.metadata.version(package)}"
    options = ("--no-deps", "--no-binary", ":all:", "-d", str(there))
    done = subprocess.run(
        (sys.executable, "-m", "pip", "download", "-q", *options, wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        cannot_run(f"no source distribution of {wanted} to be had")
    with tarfile.open(next(there.glob("*.tar.gz"))) as archive:
        archive.extractall(there, filter="data")
    return next(path for path in there.iterdir() if path.is_dir())
