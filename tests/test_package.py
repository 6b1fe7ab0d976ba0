"""What is installed: what natkit imports, on which systems, and that the wheel works alone."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from calto_demo.server.command import serve
from natkit.wire import Message, TransportAddress, XorMappedAddress
from tests.test_architecture import tree_of

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

IMPORT_ALL_ELSEWHERE = """
import importlib, os, pkgutil, signal, socket, sys

# What natkit stands on may look at the system; load it before taking the system away.
import asyncio, multiprocessing, ssl, subprocess, dns.asyncresolver, ifaddr, rich.table
import rich.console, rich.table

for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
for module, prefixes in {
    socket: ("AF_UNIX", "AF_NETLINK", "AF_PACKET", "SO_BINDTODEVICE", "SO_REUSEPORT", "MSG_"),
    os: ("geteuid", "getuid", "getegid", "fork", "setns", "unshare", "memfd", "CLONE_"),
    signal: ("SIGKILL", "SIGHUP", "SIGUSR", "pthread"),
}.items():
    for name in [n for n in dir(module) if n.startswith(prefixes)]:
        delattr(module, name)

import natkit
for found in pkgutil.walk_packages(natkit.__path__, "natkit."):
    if found.name != "natkit.__main__":
        importlib.import_module(found.name)
        print(found.name)
"""


def test_every_module_can_be_imported_without_what_linux_alone_has():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL_ELSEWHERE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"natkit.cli.probe", "natkit.tools.probe", "natkit.aio.network"} <= set(
        done.stdout.split()
    )


def requirement_names(lines: list[str]) -> set[str]:
    return {normalised(re.split(r"[<>=~!\\[]", line)[0]) for line in lines}


def normalised(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


distributions = functools.cache(packages_distributions)


def third_party(*, at_import: bool) -> set[str]:
    """Return the distributions that we import: all, or just those loaded with natkit's modules."""
    owners = distributions()
    tops = set()
    paths = set(ROOT.glob("natkit/**/*.py"))
    if at_import:
        # natkit.aiortc is an extra as a whole: who imports it has aiortc. So is calto_demo.
        paths -= set(ROOT.glob("natkit/aiortc/*.py"))
    else:
        paths |= set(ROOT.glob("calto_demo/**/*.py"))
    for path in paths:
        for module in imported(tree_of(path), at_import=at_import):
            tops.add(module.partition(".")[0])
    outside = tops - sys.stdlib_module_names - {"natkit", "calto_demo"}
    return {normalised(owners[top][0]) for top in outside}


def imported(tree: ast.AST, *, at_import: bool) -> Iterator[str]:
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(
                func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=name)]
            ):
                yield str(name)
            case _:
                ahead.extend(ast.iter_child_nodes(node))


BY_NAME = {"asyncpg", "itsdangerous", "websockets"}
"""Imported by SQLAlchemy, Starlette and uvicorn, because calto_demo names what needs them."""


def test_every_dependency_is_used_and_everything_used_is_declared():
    declared = requirement_names(PROJECT["dependencies"])
    extras = requirement_names([r for e in PROJECT["optional-dependencies"].values() for r in e])
    assert third_party(at_import=False) | BY_NAME == declared | extras


def test_an_extra_is_imported_only_by_the_function_that_needs_it():
    assert third_party(at_import=True) <= requirement_names(PROJECT["dependencies"])


@pytest.fixture
def stun_server() -> Iterator[TransportAddress]:
    """A STUN server on loopback that answers Binding requests, and nothing more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = threading.Thread(target=answer_until_empty, args=(sock,))
        server.start()
        address = TransportAddress(*sock.getsockname())
        yield address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", address)
        server.join()


def answer_until_empty(sock: socket.socket) -> None:
    while True:
        data, source = sock.recvfrom(2048)
        if not data:
            return
        request = Message.decode(data)
        mapped = XorMappedAddress(TransportAddress(*source))
        sock.sendto(request.success(mapped).encode(), source)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that has the built wheel and its dependencies; returns `natkit` in it."""
    there = tmp_path_factory.mktemp("wheel")
    dist, environment = there / "dist", there / "venv"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist), cwd=ROOT)
    [wheel] = dist.glob("*.whl")
    run(sys.executable, "-m", "venv", str(environment))
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    run(str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel))
    return programs / "natkit"


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    alone = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=alone)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), ("probe", "--help"), ("explain", "cgnat")])
def test_the_wheel_alone_shows_its_help(installed: Path, tmp_path: Path, words: tuple[str, ...]):
    assert run(str(installed), *words, cwd=tmp_path).stdout


@pytest.mark.slow
def test_the_wheel_alone_probes_a_server(
    installed: Path, tmp_path: Path, stun_server: TransportAddress
):
    words = ("probe", "--server", str(stun_server), "-4", "--timeout", "10s", "--json")
    report = json.loads(run(str(installed), *words, cwd=tmp_path).stdout)
    assert report["schema"] == "natkit.probe/1"
    assert report["families"]["ipv4"]["nat"] is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dockerfile", "holds"),
    [
        ("Dockerfile", {"natkit/cli/turn.py", "natkit/tools/topics/401.txt"}),
        (
            "calto.Dockerfile",
            {"calto_demo/server/migrations/env.py", "calto_demo/static/index.html"},
        ),
    ],
)
def test_image_is_given_all_that_an_installation_needs(
    dockerfile: str, holds: set[str], tmp_path: Path
) -> None:
    for line in (ROOT / "packaging" / dockerfile).read_text().splitlines():
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            for source in sources:
                to = tmp_path / target.strip("/")
                if (ROOT / source).is_dir():
                    shutil.copytree(
                        ROOT / source, to, ignore=shutil.ignore_patterns("node_modules")
                    )
                else:
                    to.mkdir(exist_ok=True)
                    shutil.copy(ROOT / source, to)
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(argv, cwd=tmp_path / "src", check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    assert holds <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("calto.Dockerfile", r"CMD \[(.*)\]"), ("compose.yaml", r"^ +- (--.*)$")],
)
def test_calto_takes_the_options_that_its_container_is_started_with(file: str, pattern: str):
    text = (ROOT / "packaging" / file).read_text()
    options = re.findall(
        r"--[^\s\",]+(?:\", \"(?!-)[^\"]+)?", "\n".join(re.findall(pattern, text, re.M))
    )
    words = [word for option in options for word in option.split('", "')]
    context = serve.make_context("serve", words)
    assert context.params["listen"] == "0.0.0.0:8000"
    assert context.params["log_format"] == "json"


def test_services_of_the_compose_file_find_each_other_and_may_drain():
    compose = yaml.safe_load((ROOT / "packaging" / "compose.yaml").read_text())
    services = compose["services"]
    calto, postgres, redis = (services[name] for name in ("calto", "postgres", "redis"))
    context = ROOT / "packaging" / calto["build"]["context"]
    assert (context / calto["build"]["dockerfile"]).is_file()
    options = dict(word.removeprefix("--").split("=", 1) for word in calto["command"])
    secrets = calto["environment"]
    known = {f"CALTO_SERVE_{option.name}".upper() for option in serve.params}
    assert set(secrets) <= known
    database = urlsplit(
        secrets["CALTO_SERVE_DATABASE"].replace("${POSTGRES_PASSWORD:?}", "password")
    )
    environment = postgres["environment"]
    assert (database.username, database.path) == (
        environment["POSTGRES_USER"],
        f"/{environment['POSTGRES_DB']}",
    )
    assert environment["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:?}"
    assert postgres["ports"] == [f"{database.hostname}:{database.port}:5432"]
    cache = urlsplit(options["redis"])
    assert redis["ports"] == [f"{cache.hostname}:{cache.port}:6379"]
    assert all("healthcheck" in services[name] for name in calto["depends_on"])
    assert set(compose["volumes"]) == {one.partition(":")[0] for one in postgres["volumes"]}
    [drain] = [option for option in serve.params if option.name == "drain_time"]
    assert int(calto["stop_grace_period"].removesuffix("s")) >= 10 + drain.default
