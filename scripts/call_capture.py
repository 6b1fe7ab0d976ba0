"""Make one Calto call between two real NATs of the lab, and keep what each side's wire shows.

    python -m scripts.call_capture port-restricted symmetric FOLDER

writes alice.pcap, bob.pcap and server.pcap into FOLDER, and prints what the caller was told. The
kinds are those of `natkit lab matrix`. Needs root and tcpdump; docs/how-a-call-works.md is from it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from natkit.lab.homes import HOMES, two_homes
from natkit.lab.netns import NamespaceWorld
from natkit.lab.netns.service import Service

CALTO = (sys.executable, "-m", "calto_demo.cli")
ADDRESS = "203.0.113.20:8000"
NODES = {"alice": "alice", "bob": "bob", "server": "stun2"}
LAG = 1.0
"""Seconds that tcpdump may be behind: what it has not read when it ends is lost."""
PATIENCE = 60.0
"""Seconds for what takes ten, on a busy machine."""


def wait(service: Service, done: Callable[[], bool]) -> None:
    """Wait until it is. Raises: RuntimeError: it took too long."""
    give_up = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > give_up:
            raise RuntimeError(f"still waiting: {service.output()}")
        time.sleep(0.05)


def ended(service: Service) -> bool:
    """Tell whether a program has."""
    return not service.running


def wait_for(service: Service, words: str) -> None:
    """Wait until a program has said something. Raises: RuntimeError: it ended, or took too long."""
    wait(service, lambda: words in service.output() or ended(service))
    if words not in service.output():
        raise RuntimeError(service.output())


def capture(world: NamespaceWorld, folder: Path) -> list[Service]:
    """Begin to write down what passes each node; return when all do."""
    dumps = []
    for name, node in NODES.items():
        file = str(folder / f"{name}.pcap")
        # As root: tcpdump becomes somebody else by default, who may not write there.
        dumps.append(
            world.spawn(
                node, ["tcpdump", "--immediate-mode", "-U", "-Z", "root", "-i", "any", "-w", file]
            )
        )
    for dump in dumps:
        wait_for(dump, "listening on")
    return dumps


def call(kinds: tuple[str, str], folder: Path, seconds: int = 10) -> str:
    """Have Ada call Bob. Returns: what `calto call --json` printed."""
    with NamespaceWorld(two_homes(*(HOMES[kind] for kind in kinds))) as world:
        database = f"sqlite:///{folder}/calto.db"
        options = ("--listen", ADDRESS, "--no-echo", "--database", database)
        wait_for(world.spawn(NODES["server"], [*CALTO, "serve", *options]), "ready")
        dumps = capture(world, folder)
        there = ("--server", f"http://{ADDRESS}", "--json", "--name")
        wait_for(world.spawn("bob", [*CALTO, "answer", *there, "Bob"]), "waits for calls")
        ada = world.spawn("alice", [*CALTO, "call", "Bob", *there, "Ada", "--for", f"{seconds}s"])
        wait(ada, functools.partial(ended, ada))
        time.sleep(LAG)
        for dump in dumps:
            os.kill(dump.pid, signal.SIGINT)
            wait(dump, functools.partial(ended, dump))
        return ada.output()


if __name__ == "__main__":
    one, other, where = sys.argv[1:]
    Path(where).mkdir(parents=True, exist_ok=True)
    print(call((one, other), Path(where).resolve()))
