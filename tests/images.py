"""A Dockerfile carried out without Docker: its steps in a root of their own, on this system.

What is not the same: the system is this one and not Debian's slim image, and Python is one that is
here, of the image's version where there is such a one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

_ENTER = """
set -e
root=$1 prefix=$2; shift 2
mount --bind "$root" "$root"
for there in usr dev proc sys "${prefix#/}"; do
    mkdir -p "$root/$there"
    mount --rbind "/$there" "$root/$there"
done
for there in bin sbin lib lib32 lib64; do
    [ ! -L "/$there" ] || [ -e "$root/$there" ] || cp -P "/$there" "$root/$there"
done
[ "$NETWORK" != own ] || ip link set lo up
[ "$WRITABLE" != no ] || mount -o remount,ro,bind "$root"
exec "$@"
"""
"""Runs in a mount namespace, which takes its mounts along when it ends."""


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """Yield what a Dockerfile says: ("COPY", "natkit /src/natkit")."""
    for line in file.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word and word != "#":
            yield word, rest


@dataclass
class Image:
    """What a Dockerfile makes.

    Attributes:
        root:  where it is.
        python: the interpreter that stands for the image's.
        user, folder, command: whom, where and what a container runs.
    """

    root: Path
    python: Path
    user: str = "0:0"
    folder: str = "/"
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @classmethod
    def built(cls, file: Path, root: Path) -> Image:
        """Carry out every instruction. Raises: ValueError: one is not known here."""
        image = cls(root, Path(sys.executable))
        for word, rest in instructions(file):
            image._step(word, rest)
        return image

    def _step(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                self._begin(rest)
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    self._copy(ROOT / source, target)
            case "RUN":
                self.run("sh", "-c", rest)
            case "USER":
                self.user = rest
            case "WORKDIR":
                self.folder = rest
            case "ENTRYPOINT":
                self.command = tuple(json.loads(rest))
            case "CMD":
                self.arguments = tuple(json.loads(rest))
            case "VOLUME":
                assert (self.root / rest.strip("/")).is_dir()
            case "STOPSIGNAL":
                assert rest == "SIGTERM"
            case _:
                raise ValueError(f"{word} is not known here")

    def _begin(self, base: str) -> None:
        """Lay out the base: configuration of the system, and a Python without packages."""
        found = re.fullmatch(r"python:(\d\.\d+)-slim", base)
        assert found is not None, base
        self.python = _python(found[1])
        self.root.mkdir(mode=0o755)
        shutil.copytree("/etc", self.root / "etc", symlinks=True)
        for folder, mode in (("tmp", 0o1777), ("root", 0o755), ("run", 0o755), ("opt", 0o755)):
            (self.root / folder).mkdir(mode=mode)
            (self.root / folder).chmod(mode)
        self.run(str(self.python), "-m", "venv", "/opt/python")

    def _copy(self, source: Path, target: str) -> None:
        to = self.root / target.strip("/")
        if source.is_dir():
            ignored = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(source, to, ignore=ignored, dirs_exist_ok=True)
        else:
            assert target.endswith("/")  # else it is the file's new name
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)

    def run(self, *words: str) -> str:
        """Run a program as root, as RUN does; return what it printed."""
        argv = self._inside(["chroot", str(self.root), *words])
        done = subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def started(
        self, *arguments: str, then: str, read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a container on a network of its own, that is nothing but loopback.

        Args:
            arguments: in the place of CMD, if any.
            then:      what a shell does beside it, at the end of which it is sent SIGTERM.
            read_only: nothing but volumes can be written.
        """
        uid, _, gid = self.user.partition(":")
        within = (
            f"cd {self.folder}; {shlex.join([*self.command, *(arguments or self.arguments)])} &"
        )
        script = f"{within} server=$!; {then}\nkill -TERM $server; wait $server"
        argv = ["chroot", str(self.root), "setpriv", f"--reuid={uid}", f"--regid={gid}"]
        argv += ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "sh", "-ec", script]
        return subprocess.run(
            self._inside(argv, "--net"),
            env=self._environment(NETWORK="own", WRITABLE="no" if read_only else "yes"),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    def _inside(self, argv: Sequence[str], *namespaces: str) -> list[str]:
        prefix = subprocess.check_output(
            [self.python, "-c", "import sys; print(sys.base_prefix)"], text=True
        ).strip()
        script = ["sh", "-c", _ENTER, "enter", str(self.root), prefix, *argv]
        return ["unshare", "--mount", *namespaces, *script]

    def _environment(self, **more: str) -> dict[str, str]:
        """Return an image's own environment, and where packages come from here."""
        kept = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_CERT"))}
        path = "/opt/python/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {**kept, "PATH": path, "HOME": "/root", "NETWORK": "", "WRITABLE": "yes", **more}


def _python(version: str) -> Path:
    """Return an interpreter of `version`, or ours where there is none."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob(f"{version}.*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    for one in [*found, *([Path(on_path)] if on_path else [])]:
        works = subprocess.run(
            [one, "-c", "import venv, ensurepip"], capture_output=True, check=False
        )
        if works.returncode == 0:
            return one
    return Path(sys.base_prefix, "bin", "python3")
