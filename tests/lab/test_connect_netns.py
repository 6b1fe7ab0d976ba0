"""`natkit connect` as people run it: real processes, real Linux NATs, our own servers between."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable

import pytest

from natkit.lab import netns
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.netns.service import Service
from natkit.lab.netns.world import NamespaceWorld

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("root", "nft", "ip")]

STUN, AT = "203.0.113.10", "203.0.113.20"
URL = f"http://{AT}:7478"
NATKIT = (sys.executable, "-m", "natkit")
SERVERS = ("--stun", f"stun:{STUN}", "--turn", f"turn:{AT}:3480", "--count", "2")
LOGIN = ("--username", "alice", "--password", "wonderland")


async def until(service: Service, seen: Callable[[str], object]) -> str:
    """Wait until a program has printed something; return all that it has."""
    for _ in range(600):
        if seen(service.output()) or not service.running:
            break
        await asyncio.sleep(0.05)
    return service.output()


async def ended(service: Service) -> tuple[int, str]:
    async with asyncio.timeout(60):
        return await service.wait(), service.output()


async def served(world: NamespaceWorld) -> None:
    """Start a STUN server, a TURN server and a rendezvous."""
    relay = ("--listen", f"udp://{AT}:3480", "--user", "alice:wonderland")
    for node, *words in (
        ("stun", "stun", "serve", "--listen", STUN),
        ("stun2", "rendezvous", "serve", "--listen", AT),
        ("stun2", "turn", "serve", *relay, "--allow-peer", "203.0.113.0/24"),
    ):
        service = world.spawn(node, [*NATKIT, *words])
        said = await until(service, lambda text: "ready" in text)
        assert "ready" in said, said


async def met(world: NamespaceWorld, *more: str) -> list[tuple[int, str]]:
    """Let alice make a code, and bob join; return how both ended and what they printed."""
    await served(world)
    options = [*SERVERS, *LOGIN, "--rendezvous", URL, *more]
    alice = world.spawn("alice", [*NATKIT, "connect", *options])
    shown = await until(alice, lambda text: "code: " in text)
    code = re.search(r"^code: (\S+)$", shown, re.M)
    assert code, shown
    bob = world.spawn("bob", [*NATKIT, "connect", code[1], *options])
    return [await ended(bob), await ended(alice)]


@pytest.mark.parametrize(
    ("kind", "path"),
    [("port-restricted", "direct"), ("symmetric", "relayed")],
)
def test_two_people_behind_linux_nats_take_the_path_there_is(kind: str, path: str):
    for exit_code, text in netns.run(two_homes(HOMES[kind], HOMES[kind]), met):
        assert exit_code == 0, text
        assert f"path: {path}, " in text
        assert "2 sent, 2 answered, 0 % lost" in text


def test_until_direct_ends_with_5_behind_nats_that_allow_none():
    async def main(world: NamespaceWorld) -> list[tuple[int, str]]:
        return await met(world, "--until-direct", "--timeout", "8s")

    for exit_code, text in netns.run(two_homes(HOMES["symmetric"], HOMES["symmetric"]), main):
        assert exit_code == 5, text
        assert re.search(r"[23] attempts at a direct path", text)
