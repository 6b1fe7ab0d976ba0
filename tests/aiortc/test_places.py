"""Where aiortc's peers on natkit's ICE open their sockets: on chosen interfaces, or in the lab."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCConfiguration, RTCIceServer
from aiortc import RTCPeerConnection as Plain

from natkit.aiortc import RTCPeerConnection
from natkit.lab import netns
from natkit.lab.scenarios import STUN
from natkit.lab.servers import STUN_PORT, stun_servers
from natkit.lab.topology import World
from tests.ice.homes import KINDS, two_homes

SERVER = RTCIceServer(f"stun:{STUN[0]}:{STUN_PORT}")


async def converse(caller: Plain, callee: Plain) -> None:
    """Have what the caller writes come back."""
    read: asyncio.Queue[str] = asyncio.Queue()
    callee.on("datachannel", lambda it: it.on("message", it.send))
    channel = caller.createDataChannel("chat")
    channel.on("open", lambda: channel.send("hello"))
    channel.on("message", read.put_nowait)
    await caller.setLocalDescription()
    await callee.setRemoteDescription(caller.localDescription)
    await callee.setLocalDescription()
    await caller.setRemoteDescription(callee.localDescription)
    async with asyncio.timeout(20):
        assert await read.get() == "hello"


async def test_candidates_come_from_the_chosen_interfaces_alone():
    peers = [RTCPeerConnection(RTCConfiguration([]), interfaces=["lo"]) for _ in range(2)]
    await converse(*peers)
    for peer in peers:
        told = [line for line in peer.localDescription.sdp.splitlines() if "a=candidate" in line]
        assert {line.split()[4] for line in told} <= {"127.0.0.1", "::1"}
        await peer.close()


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_peers_meet_through_the_nats_of_the_lab():
    async def main(world: World) -> None:
        async with stun_servers(world):
            peers = [
                RTCPeerConnection(RTCConfiguration([SERVER]), network=world.network(name))
                for name in ("alice", "bob")
            ]
            await converse(*peers)
            stats = await peers[0].getStats()
            kinds = {it.candidateType for it in stats.values() if it.type == "local-candidate"}
            assert "srflx" in kinds
            for peer in peers:
                await peer.close()

    netns.run(two_homes(KINDS["port-restricted"], KINDS["port-restricted"]), main)
