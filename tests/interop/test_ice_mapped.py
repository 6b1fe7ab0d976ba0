"""Two symmetric homes, one of whose routers maps ports (miniupnpd): the call is direct."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import natkit
from natkit.lab.call import talk, tell
from natkit.lab.homes import HOMES
from natkit.lab.netns import NamespaceWorld
from natkit.lab.topology import Host, Router, Segment, Topology
from tests.interop.gateway import finished, start_miniupnpd

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop,
    pytest.mark.needs("root", "nft", "ip", "tc", "setpriv", "miniupnpd"),
    pytest.mark.timeout(90),
]

SYMMETRIC = HOMES["symmetric"].nat

TOPOLOGY = Topology(
    (
        Segment("internet", "44.0.0.0/16"),  # miniupnpd maps to public addresses alone
        Segment("home", "10.0.1.0/24"),
        Segment("away", "10.0.2.0/24"),
    ),
    (Host("alice", "home", ("10.0.1.2",)), Host("bob", "away", ("10.0.2.2",))),
    (
        Router("home", "home", "internet", ("10.0.1.1",), ("44.0.0.7",), SYMMETRIC),
        Router("away", "away", "internet", ("10.0.2.1",), ("44.0.0.8",), SYMMETRIC),
    ),
)


async def call(world: NamespaceWorld, protocol: str) -> None:
    alice = natkit.Connection(True, network=world.network("alice"), port_mapping=True)
    bob = natkit.Connection(False, network=world.network("bob"))
    await asyncio.gather(alice.gather_candidates(), bob.gather_candidates())
    (told,) = alice.report()["inquiries"]
    assert told["server"] == f"10.0.1.1 by {protocol}", told
    await tell(alice, bob)
    await tell(bob, alice)
    await asyncio.gather(alice.connect(), bob.connect())
    await talk(alice, bob)
    await talk(bob, alice)
    pair = bob.selected_pair()
    assert pair is not None
    assert (pair.remote.host, pair.remote.type, pair.is_relayed) == ("44.0.0.7", "srflx", False)
    assert "10.0.1.2" in rules(world)
    await asyncio.gather(alice.close(), bob.close())


def rules(world: NamespaceWorld) -> str:
    """Return what miniupnpd has put into the router."""
    return finished(world.spawn("home", ["nft", "list", "table", "inet", "upnp"]))


@pytest.mark.parametrize(("natpmp", "protocol"), [(True, "PCP"), (False, "UPnP")])
def test_symmetric_home_is_reached_directly_through_a_mapped_port_which_is_gone_afterwards(
    tmp_path: Path, natpmp: bool, protocol: str
) -> None:
    with NamespaceWorld(TOPOLOGY) as world:
        start_miniupnpd(world, tmp_path, natpmp=natpmp)
        asyncio.run(call(world, protocol))
        assert "10.0.1.2" not in rules(world)
