"""Building a world of namespaces, and what its nodes offer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from natkit.errors import Unsupported, UsageError
from natkit.lab import netns
from natkit.lab.netns import NamespaceWorld
from natkit.lab.netns.namespace import Namespace
from natkit.lab.scenarios import SCENARIOS, WAN
from natkit.lab.topology import World
from natkit.network import Family
from natkit.wire import TransportAddress
from tests.lab.observe import (
    FIRST,
    SECOND,
    closing,
    mapped,
    open_socket,
)

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "nft", "ip")]

HOME = SCENARIOS["home"].topology
SERVER = TransportAddress(FIRST, 3478)


def test_a_world_is_up_in_well_under_half_a_second() -> None:
    times = []
    for _ in range(3):
        started = time.monotonic()
        with NamespaceWorld(SCENARIOS["double"].topology):
            times.append(time.monotonic() - started)
    assert min(times) < 0.5


def test_a_world_is_not_up_before_its_bridges_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    command, asked = Namespace.command, []

    def late(self: Namespace, argv: Sequence[str], text: str = "") -> str:
        shown = command(self, argv, text)
        if argv[0] != "bridge":
            return shown
        asked.append(shown)
        return shown if len(asked) > 2 else shown.replace("forwarding", "disabled", 1)

    monkeypatch.setattr(Namespace, "command", late)
    with NamespaceWorld(HOME):
        assert len(asked) >= 3


def test_names_of_hosts_resolve_and_others_do_not() -> None:
    async def main(world: World) -> tuple[tuple[str, ...], ...]:
        network = world.network("alice")
        return (
            await network.resolve("stun", Family.IPV4),
            await network.resolve("bob", Family.IPV6),
            await network.resolve("192.0.2.1", Family.IPV4),
            await network.resolve("no-such-host.invalid", Family.IPV4),
        )

    found = netns.run(HOME, main)
    assert found == ((FIRST, SECOND), ("2001:db8::50",), ("192.0.2.1",), ())


def test_a_node_sees_its_own_interfaces_and_gateway() -> None:
    async def main(world: World) -> None:
        alice = world.network("alice")
        assert "10.0.1.2" in [interface.ip for interface in alice.interfaces()]
        assert alice.gateways(Family.IPV4) == ("10.0.1.1",)
        assert alice.source_for(SERVER) == "10.0.1.2"
        router = {interface.name: interface.ip for interface in world.network("home").interfaces()
                  if interface.ip.count(".") == 3}  # fmt: skip
        assert router == {"lo": "127.0.0.1", "lan": "10.0.1.1", "wan": WAN}

    netns.run(HOME, main)


def test_nobody_outside_has_a_route_to_addresses_behind_a_nat() -> None:
    async def main(world: World) -> str | None:
        return world.network("bob").source_for(TransportAddress("10.0.1.2", 1))

    assert netns.run(HOME, main) is None


def test_an_unknown_node_is_a_usage_error() -> None:
    async def main(world: World) -> None:
        world.network("mallory")

    with pytest.raises(UsageError, match="mallory"):
        netns.run(HOME, main)


async def test_run_inside_a_running_loop_is_refused_in_words() -> None:
    async def main(world: World) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="NamespaceWorld"):
        netns.run(HOME, main)


async def test_a_world_can_be_built_inside_a_running_loop() -> None:
    with NamespaceWorld(HOME) as world:
        server = await open_socket(world, "stun", SERVER)
        alice = await open_socket(world, "alice")
        with closing(server, alice):
            assert await mapped(alice, server) is not None


def test_a_program_runs_in_its_node_and_ends_with_the_world() -> None:
    async def main(world: World) -> netns.Service:
        assert isinstance(world, NamespaceWorld)
        shown = world.spawn("alice", ["ip", "-brief", "-4", "addr", "show", "dev", "eth0"])
        assert await shown.wait() == 0
        assert "10.0.1.2/24" in shown.output()
        sleeper = world.spawn("bob", ["sleep", "1000"])
        assert sleeper.running
        return sleeper

    assert not netns.run(HOME, main).running


def test_a_program_that_is_not_installed_is_named() -> None:
    async def main(world: World) -> None:
        assert isinstance(world, NamespaceWorld)
        world.spawn("bob", ["no-such-program"])

    with pytest.raises(Unsupported, match="no-such-program"):
        netns.run(HOME, main)


def test_what_is_left_out_is_noted() -> None:
    with NamespaceWorld(HOME) as world:
        assert "only loss and rate" in world.notes[0]
