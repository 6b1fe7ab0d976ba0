"""Port mappings as candidates, in the simulator: gateways that speak PCP, and that do not."""

from __future__ import annotations

import asyncio
from typing import Any

import natkit
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import World
from natkit.machine import Seconds
from natkit.network import DatagramEndpoint, IcmpError
from natkit.portmap import pcp
from natkit.portmap.lease import LIFETIME
from natkit.wire import TransportAddress
from natkit.wire.cursor import Cursor
from tests.ice.homes import KINDS, two_homes

HOMES = two_homes(KINDS["symmetric"], KINDS["symmetric"])
GATEWAY = TransportAddress("10.0.1.1", pcp.PORT)


class PcpServer:
    """Maps a port to the same port of an outside address.

    Attributes: asked: lifetimes, in order.
    """

    def __init__(self, external: str) -> None:
        self.external = external
        self.asked: list[int] = []
        self.endpoint: DatagramEndpoint

    @classmethod
    async def start(cls, world: World, external: str = "203.0.113.100") -> PcpServer:
        server = cls(external)
        network = world.network("r-alice")
        server.endpoint = await network.open_datagram(server, local=GATEWAY)
        return server

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.asked.append(int.from_bytes(data[4:8], "big"))
        asked = pcp.Mapping.read(Cursor(data[24:], "test"))
        outside = TransportAddress(self.external, asked.internal_port)
        given = pcp.Mapping(asked.nonce, asked.protocol, asked.internal_port, outside)
        answer = bytes([2, 129, 0, 0]) + data[4:8] + bytes(16) + given.encode()
        self.endpoint.send(answer, source)

    def error_received(self, error: IcmpError) -> None:
        raise AssertionError(error)


async def gathered(world: World, **options: Any) -> tuple[natkit.Connection, Seconds]:
    network = world.network("alice")
    a = natkit.Connection(True, network=network, port_mapping=True, **options)
    began = network.now()
    await a.gather_candidates()
    return a, network.now() - began


def test_mapped_port_is_a_reflexive_candidate_and_better_than_what_stun_sees():
    async def main(world: World) -> None:
        await PcpServer.start(world)
        async with stun_servers(world):
            a, _ = await gathered(world, stun_servers=STUN_SERVERS[:1])
        host, mapped, seen = a.local_candidates
        assert [mapped.type, seen.type] == ["srflx", "srflx"]
        assert (mapped.host, mapped.port) == ("203.0.113.100", host.port)
        assert (mapped.related_address, mapped.related_port) == (host.host, host.port)
        assert host.priority > mapped.priority > seen.priority
        (told,) = [it for it in a.report()["inquiries"] if it["kind"] == "gateway"]
        assert told["server"] == "10.0.1.1 by PCP"
        await a.close()

    run(HOMES, main)


def test_mapping_is_renewed_while_the_connection_lives_and_deleted_when_it_is_closed():
    async def main(world: World) -> None:
        server = await PcpServer.start(world)
        a, _ = await gathered(world)
        await world.network("alice").sleep(LIFETIME - 1)
        assert server.asked == [LIFETIME] * 2
        await a.close()
        assert server.asked == [LIFETIME, LIFETIME, 0]

    run(HOMES, main)


def test_mapping_that_the_gateway_forgets_is_told_in_the_report():
    async def main(world: World) -> None:
        server = await PcpServer.start(world)
        a, _ = await gathered(world)
        server.endpoint.send = lambda *_: None
        await world.network("alice").sleep(LIFETIME + 1)
        (told,) = a.report()["inquiries"]
        assert told["error"] == "the mapping was not renewed: PCP was not answered"
        await a.close()

    run(HOMES, main)


def test_gateway_that_does_not_answer_delays_no_candidate_and_the_end_by_a_second():
    async def main(world: World) -> None:
        silent = await PcpServer.start(world)
        silent.datagram_received = lambda *_: None  # type: ignore[method-assign]
        async with stun_servers(world):
            heard: list[float] = []
            a, took = await gathered(
                world,
                stun_servers=STUN_SERVERS[:1],
                on_candidate=lambda _: heard.append(world.network("alice").now()),
            )
        assert max(heard[:2]) < 0.1
        assert took <= 1.0
        assert "was not answered" in a.report()["inquiries"][-1]["error"]
        await a.close()

    run(HOMES, main)


def test_gateway_without_a_mapping_service_ends_the_question_at_once():
    async def main(world: World) -> None:
        a, took = await gathered(world)
        assert took < 0.5
        (told,) = a.report()["inquiries"]
        assert told["error"] == (
            "it speaks neither PCP nor NAT-PMP (ICMP port unreachable),"
            " and no UPnP gateway answered"
        )
        await a.close()

    run(HOMES, main)


def test_private_outside_address_is_no_candidate():
    async def main(world: World) -> None:
        server = await PcpServer.start(world, "192.168.0.2")
        a, _ = await gathered(world)
        assert [str(c.type) for c in a.local_candidates] == ["host"]
        assert "there is another NAT" in a.report()["inquiries"][-1]["error"]
        await a.close()
        assert server.asked == [LIFETIME, 0]

    run(HOMES, main)


def test_closing_while_the_gateway_is_asked_deletes_what_it_may_have_made():
    async def main(world: World) -> None:
        server = await PcpServer.start(world)
        server.endpoint.send = lambda *_: None  # its answers are lost
        network = world.network("alice")
        a = natkit.Connection(True, network=network, port_mapping=True)
        gathering = asyncio.ensure_future(a.gather_candidates())
        await network.sleep(0.05)
        await a.close()
        await gathering
        assert server.asked == [LIFETIME, 0, 0, 0]

    run(HOMES, main)


def test_gateway_is_not_asked_unless_it_was_allowed():
    async def main(world: World) -> None:
        server = await PcpServer.start(world)
        a = natkit.Connection(True, network=world.network("alice"))
        await a.gather_candidates()
        await a.close()
        assert server.asked == []

    run(HOMES, main)
