"""The layers hold: every import in the packages is read and held against one table.

`import` statements inside functions and under `if TYPE_CHECKING` count like all others: a layer
that needs another one's types depends on it.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CLOCK_AND_IO = frozenset(
    {
        "asyncio",
        "concurrent",
        "datetime",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    }
)
"""Standard modules that a sans-IO layer may not touch: it is handed bytes, `now` and randomness."""

TERMINAL = frozenset({"click", "rich"})

AIORTC = ROOT / "natkit" / "aiortc"
"""Its layer, and the one that knows it."""


@dataclass(frozen=True)
class Layer:
    """What one layer may import.

    Attributes:
        layers:    the layers it may use, beside itself.
        sans_io:   no clock, no socket, no randomness, and nothing from outside Python.
        forbidden: modules from anywhere that it may not use.
        silent:    it returns values and never prints.
    """

    layers: tuple[str, ...] = ()
    sans_io: bool = False
    forbidden: frozenset[str] = frozenset()
    silent: bool = True


_WIRE = ("wire", "errors")
_MACHINE = ("machine", *_WIRE)
_NETWORK = ("network", *_MACHINE)
_STUN = ("stun", *_NETWORK)
_PROTOCOLS = ("nat", "portmap", "turn", "ice", "rendezvous", *_STUN)
_AIO = ("aio", "dataplane", *_PROTOCOLS)

LAYERS = {
    "errors": Layer(sans_io=True),
    "wire": Layer(("errors",), sans_io=True),
    "machine": Layer(_WIRE, sans_io=True),
    "network": Layer(_MACHINE, sans_io=True),
    "stun": Layer(_NETWORK, sans_io=True),
    "turn": Layer(_STUN, sans_io=True),
    "nat": Layer(_STUN, sans_io=True),
    "portmap": Layer(_STUN, sans_io=True),
    "rendezvous": Layer(_MACHINE, sans_io=True),
    "ice": Layer(_STUN, sans_io=True),
    "dataplane": Layer(("turn", *_MACHINE), forbidden=TERMINAL),
    "aio": Layer(("dataplane", *_PROTOCOLS), forbidden=TERMINAL),
    "aiortc": Layer(_AIO, forbidden=TERMINAL),
    "lab": Layer(_AIO, forbidden=TERMINAL),
    "tools": Layer(_AIO, forbidden=TERMINAL),
    "version": Layer(sans_io=True),
    "cli": Layer(("version", "tools", "lab", *_AIO), silent=False),
    "natkit": Layer(("version", "cli", "lab", "tools", *_AIO), forbidden=TERMINAL),
    "calto_demo": Layer(("natkit", "aiortc"), silent=False),
}
"""Every layer. "natkit" is the public face, natkit/__init__.py."""


@dataclass(frozen=True)
class Import:
    """A module that a file imports, with the line it does so."""

    module: str
    line: int


def layer_of(module: str) -> str:
    """Return the layer that a module of ours belongs to ("natkit.wire.address" -> "wire")."""
    parts = module.split(".")
    if len(parts) == 1 or parts[0] != "natkit":
        return parts[0]
    return "cli" if parts[1] == "__main__" else parts[1]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("natkit", "calto_demo")


def imports(tree: ast.AST, module: str, *, package: bool) -> Iterator[Import]:
    """Yield what `tree`, the source of `module`, imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, package=package)
            # "from natkit import wire" names a layer; "from natkit.wire import Cursor" a member.
            names = [f"{base}.{alias.name}" for alias in node.names if alias.name in LAYERS]
            if base == "natkit" and names:
                yield from (Import(name, node.lineno) for name in names)
            else:
                yield Import(base, node.lineno)


def _absolute(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    here = parts if package else parts[:-1]
    base = here[: len(here) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def violations(tree: ast.AST, module: str, *, package: bool = False) -> list[str]:
    """Return a sentence for each rule that `tree`, as the module of that name, breaks."""
    name = layer_of(module)
    if name not in LAYERS:
        return [f"{module} has no layer: give {name!r} a line in LAYERS"]
    layer, found = LAYERS[name], []
    for imported in imports(tree, module, package=package):
        if not _allowed(imported.module, name, layer):
            found.append(f"{name} may not import {imported.module} ({module}:{imported.line})")
    if layer.silent:
        found += [f"{name} may not print ({module}:{line})" for line in _prints(tree)]
    return found


def _allowed(imported: str, name: str, layer: Layer) -> bool:
    if is_ours(imported):
        return layer_of(imported) in (name, *layer.layers)
    top = imported.partition(".")[0]
    if layer.sans_io and (top in CLOCK_AND_IO or top not in sys.stdlib_module_names):
        return False
    return top not in layer.forbidden


def _prints(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield node.lineno


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


FILES = sorted([*ROOT.glob("natkit/**/*.py"), *ROOT.glob("calto_demo/**/*.py")])


def test_no_file_breaks_the_layers():
    broken = [
        sentence
        for path in FILES
        for sentence in violations(
            tree_of(path), module_name(path), package=path.name == "__init__.py"
        )
    ]
    assert not broken, "\n" + "\n".join(broken)


def test_a_data_plane_knows_turns_words_and_not_its_machine():
    of_turn = {
        imported.module
        for path in ROOT.glob("natkit/dataplane/*.py")
        for imported in imports(tree_of(path), module_name(path), package=False)
        if layer_of(imported.module) == "turn"
    }
    assert of_turn == {"natkit.turn.forwarding"}


def test_aiortc_is_known_to_its_own_layer_alone_and_its_private_names_to_one_module():
    knowing = {
        path
        for path in FILES
        if path.is_relative_to(ROOT / "natkit")
        for imported in imports(
            tree_of(path),
            module_name(path),
            package=path.name == "__init__.py",
        )
        if imported.module.partition(".")[0] == "aiortc"
    }
    assert {path.parent for path in knowing} == {AIORTC}
    others = [path for path in AIORTC.glob("*.py") if path.name != "adapter.py"]
    for path in others:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr not in ("__new__", "__init__"):
                assert not node.attr.startswith("_"), f"{path}:{node.lineno}: {node.attr}"


def test_every_layer_in_the_table_exists():
    assert {layer_of(module_name(path)) for path in FILES} == set(LAYERS)


def test_the_table_has_no_cycle():
    def below(name: str, seen: tuple[str, ...] = ()) -> None:
        assert name not in seen, f"a circle of layers: {' > '.join([*seen, name])}"
        for lower in LAYERS[name].layers:
            below(lower, (*seen, name))

    for name in LAYERS:
        below(name)


@pytest.mark.parametrize(
    ("source", "module", "sentence"),
    [
        ("import natkit.aio", "natkit.stun.x", "stun may not import natkit.aio (natkit.stun.x:1)"),
        ("from natkit.aio.driver import Driver", "natkit.nat.x", "nat may not import natkit.aio"),
        ("from natkit import lab", "natkit.tools.x", "tools may not import natkit.lab"),
        ("from ..portmap import pcp", "natkit.nat.x", "nat may not import natkit.portmap"),
        ("from .. import aio", "natkit.wire.x", "wire may not import natkit.aio"),
        ("def f():\n    import time", "natkit.wire.x", "wire may not import time"),
        ("import os.path", "natkit.nat.x", "nat may not import os.path"),
        ("from asyncio import sleep", "natkit.network", "network may not import asyncio"),
        ("import cryptography.x509", "natkit.stun.x", "stun may not import cryptography.x509"),
        ("import click", "natkit.tools.x", "tools may not import click"),
        ("from rich.table import Table", "natkit.aio.x", "aio may not import rich.table"),
        ("import natkit.wire", "calto_demo.x", "calto_demo may not import natkit.wire"),
        ("import click", "natkit", "natkit may not import click"),
        ("from natkit import __version__", "natkit.tools.x", "tools may not import natkit"),
        ("print('here')", "natkit.tools.x", "tools may not print"),
        ("x = 1", "natkit.brand_new.x", "natkit.brand_new.x has no layer"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from natkit.lab import sim",
            "natkit.tools.x",
            "tools may not import natkit.lab (natkit.tools.x:3)",
        ),
    ],
)
def test_a_broken_rule_is_told_in_a_sentence(source: str, module: str, sentence: str):
    [found] = violations(ast.parse(source), module)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import struct, hashlib, typing", "natkit.wire.x"),
        ("from natkit.wire import Message", "natkit.stun.x"),
        ("from . import pcp", "natkit.portmap.x"),
        ("from natkit.lab.sim import run", "natkit.cli.x"),
        ("import asyncio, time", "natkit.aio.x"),
        ("import natkit", "calto_demo.x"),
    ],
)
def test_an_allowed_import_passes(source: str, module: str):
    assert violations(ast.parse(source), module) == []
