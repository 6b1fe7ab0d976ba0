"""Finding PCP, NAT-PMP and UPnP on gateways of all kinds, in the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from natkit.aio.upnp import UpnpGateway
from natkit.errors import NetworkUnreachable
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.sim import SimWorld
from natkit.lab.sim.network import SimNetwork
from natkit.lab.topology import Topology
from natkit.machine import Seconds
from natkit.nat.behaviour import Status
from natkit.network import DatagramEndpoint, IcmpError, Network
from natkit.portmap import pcp, ssdp
from natkit.tools import gateway
from natkit.tools.gateway import MappingService, PortMappingReport, find_port_mapping
from natkit.wire import TransportAddress

HOME = SCENARIOS["home"].topology
OPEN = SCENARIOS["open"].topology
GATEWAY = "10.0.1.1"

Answer = Callable[[bytes], bytes | None]


@dataclass
class Service:
    """A program on the router: it hears, and answers what it is told to."""

    answer: Answer
    heard: list[bytes] = field(default_factory=list)
    endpoint: DatagramEndpoint | None = None

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.heard.append(data)
        reply = self.answer(data)
        if reply is not None and self.endpoint is not None:
            self.endpoint.send(reply, source)

    def error_received(self, error: IcmpError) -> None:
        """Whoever asked has gone."""


@dataclass(frozen=True)
class Seen:
    report: PortMappingReport
    heard: list[bytes]
    took: Seconds


def look(
    answer: Answer = lambda _: None,
    *,
    port: int = pcp.PORT,
    topology: Topology = HOME,
    listening: bool = True,
    interface: str | None = None,
) -> Seen:
    """Ask from alice, with `answer` on the router's UDP `port`."""

    async def main(world: SimWorld) -> Seen:
        service = Service(answer)
        if listening:
            service.endpoint = await world.network("home").open_datagram(
                service, local=TransportAddress(GATEWAY, port)
            )
        alice: Network = world.network("alice")
        began = alice.now()
        report = await find_port_mapping(alice, interface=interface, randomness=Random(1).randbytes)
        return Seen(report, service.heard, alice.now() - began)

    return sim.run(topology, main)


def nat_pmp_only(external: str = "2c000007", result: int = 0) -> Answer:
    """Return a NAT-PMP server as RFC 6886 has it: PCP is refused in eight bytes."""

    def answer(data: bytes) -> bytes:
        if data[0] != 0:
            return bytes.fromhex("00800001 00000007")
        return bytes([0, 128, 0, result]) + (7).to_bytes(4, "big") + bytes.fromhex(external)

    return answer


class PcpServer:
    """A PCP server without NAT-PMP.

    Args:
        external: address it gives.
        results:  result code of each MAP request, in order; after the last, 0.
        deaf_to:  numbers of MAP requests, from 1, that get lost.
    """

    def __init__(
        self,
        external: str = "44.0.0.7",
        results: tuple[int, ...] = (),
        deaf_to: tuple[int, ...] = (),
    ) -> None:
        self._external = external
        self._results = list(results)
        self._deaf_to = deaf_to
        self._requests = 0
        self.mappings: dict[bytes, int] = {}

    def __call__(self, data: bytes) -> bytes | None:
        if data[0] != pcp.VERSION:
            return bytes([pcp.VERSION, 0x80, 0, 1]) + bytes(20)
        if data[1] == pcp.Opcode.ANNOUNCE:
            return bytes([2, 0x80, 0, 0]) + bytes(20)
        self._requests += 1
        return None if self._requests in self._deaf_to else self._map(data)

    def _map(self, data: bytes) -> bytes:
        lifetime = int.from_bytes(data[4:8], "big")
        result = self._results.pop(0) if self._results else 0
        nonce = data[24:36]
        if result == 0 and lifetime:
            self.mappings[nonce] = lifetime
        elif result == 0:
            self.mappings.pop(nonce, None)
        header = bytes([2, 0x81, 0, result]) + lifetime.to_bytes(4, "big") + bytes(16)
        asked = data[24:44]
        given = pcp.Mapping(nonce, 17, 1, TransportAddress(self._external, 4000)).encode()
        return header + asked[:18] + given[18:]


def searched(location: str) -> Answer:
    return lambda _: (
        f"HTTP/1.1 200 OK\r\nST: {ssdp.GATEWAY}\r\nLOCATION: {location}\r\n\r\n".encode()
    )


def test_without_a_gateway_nothing_is_asked() -> None:
    report = look(topology=OPEN, listening=False).report
    assert report.gateway is None
    for service in (report.pcp, report.nat_pmp, report.upnp):
        assert service.present.status is Status.NOT_MEASURED
        assert service.present.reason == "no IPv4 gateway is known"
        assert service.external_ip.status is Status.NOT_MEASURED


def test_only_a_gateway_on_the_chosen_interface_is_asked() -> None:
    assert look(nat_pmp_only(), interface="eth0").report.nat_pmp.present.value is True
    report = look(nat_pmp_only(), interface="lo").report
    assert report.gateway is None
    assert report.nat_pmp.present.reason == "no IPv4 gateway is known on lo"


def test_a_closed_port_is_an_answer() -> None:
    report = look(listening=False).report
    assert report.pcp.present.value is False
    assert report.pcp.present.reason == "10.0.1.1 has no PCP (ICMP port unreachable)"
    assert report.nat_pmp.present.value is False
    assert not report.nat_pmp.silent


def test_silence_is_reported_as_what_it_is_within_the_budget() -> None:
    seen = look()
    for service in (seen.report.pcp, seen.report.nat_pmp, seen.report.upnp):
        assert (service.present.value, service.present.status) == (None, Status.INCONCLUSIVE)
        assert service.present.reason.startswith("no answer from 10.0.1.1 to 3 requests")
        assert service.silent
    assert seen.took < 1.2
    assert len(seen.heard) == 6  # three of each protocol


def test_nonsense_is_neither_presence_nor_absence() -> None:
    present = look(lambda _: b"hello").report.pcp.present
    assert (present.value, present.status) == (None, Status.INCONCLUSIVE)
    assert "malformed" in present.reason
    assert not look(lambda _: b"hello").report.pcp.silent


def test_nat_pmp_names_its_address_and_refuses_pcp() -> None:
    report = look(nat_pmp_only()).report
    assert report.nat_pmp.present.value is True
    assert report.nat_pmp.external_ip.value == "44.0.0.7"
    assert report.pcp.present.value is False
    assert report.pcp.present.reason == "10.0.1.1 refused PCP and offered NAT-PMP"
    assert report.wan_addresses() == (("NAT-PMP", "44.0.0.7"),)


def test_a_gateway_says_nothing_about_packets_that_pass_it_by() -> None:
    report = look(nat_pmp_only()).report
    assert report.wan_addresses_on_the_way("10.0.1.2") == (("NAT-PMP", "44.0.0.7"),)
    assert report.wan_addresses_on_the_way("10.8.0.2") == ()
    assert report.wan_addresses_on_the_way(None) == report.wan_addresses()


def test_a_private_address_is_passed_on() -> None:
    assert look(nat_pmp_only("0a090002")).report.wan_addresses() == (("NAT-PMP", "10.9.0.2"),)


@pytest.mark.parametrize(
    "answer", [nat_pmp_only(result=3), nat_pmp_only("00000000")], ids=["network failure", "0.0.0.0"]
)
def test_a_gateway_without_an_address_says_so(answer: Answer) -> None:
    report = look(answer).report
    assert report.nat_pmp.present.value is True
    assert report.nat_pmp.external_ip.status is Status.INCONCLUSIVE
    assert report.wan_addresses() == (("NAT-PMP", None),)


def test_a_refusal_for_another_reason_shows_nothing_about_the_address() -> None:
    report = look(nat_pmp_only(result=2)).report
    assert report.nat_pmp.external_ip.reason == "NAT-PMP answered NOT_AUTHORIZED"
    assert report.wan_addresses() == ()


def test_pcp_names_its_address_and_keeps_no_mapping() -> None:
    server = PcpServer()
    report = look(server).report
    assert report.pcp.present.value is True
    assert report.pcp.external_ip.value == "44.0.0.7"
    assert "deleted again" in report.pcp.external_ip.evidence[0]
    assert server.mappings == {}
    assert report.nat_pmp.present.reason == "10.0.1.1 refused NAT-PMP and offered PCP version 2"


def test_a_lost_answer_is_asked_for_again() -> None:
    server = PcpServer(deaf_to=(1, 3))
    assert look(server).report.pcp.external_ip.value == "44.0.0.7"
    assert server.mappings == {}


def test_a_mapping_that_may_have_been_made_is_deleted_too() -> None:
    server = PcpServer(deaf_to=(1, 2, 3))
    external = look(server).report.pcp.external_ip
    assert external.reason == "PCP MAP went unanswered, deleted again"


def test_an_unconfirmed_delete_is_admitted() -> None:
    server = PcpServer(deaf_to=(2, 3, 4))
    external = look(server).report.pcp.external_ip
    assert external.value == "44.0.0.7"
    assert external.evidence[0].endswith("it goes by itself in 120 s")


def test_a_probe_that_is_broken_off_still_deletes_its_mapping() -> None:
    server = PcpServer(deaf_to=(2,))

    async def main(world: SimWorld) -> list[int]:
        service = Service(server)
        service.endpoint = await world.network("home").open_datagram(
            service, local=TransportAddress(GATEWAY, pcp.PORT)
        )
        alice = world.network("alice")
        task = asyncio.create_task(find_port_mapping(alice, randomness=Random(1).randbytes))
        await alice.sleep(0.1)
        held = len(server.mappings)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await alice.sleep(0.1)
        return [held, len(server.mappings)]

    assert sim.run(HOME, main) == [1, 0]


def test_a_socket_that_cannot_be_bound_leaves_its_protocol_unmeasured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise NetworkUnreachable("cannot bind")

    monkeypatch.setattr(SimNetwork, "open_datagram", refuse)
    report = look(listening=False).report
    assert report.gateway == GATEWAY
    assert report.upnp.present.reason == "cannot bind"
    assert report.pcp.present.status is Status.NOT_MEASURED


def test_a_refused_mapping_is_not_deleted() -> None:
    server = PcpServer(results=(pcp.ResultCode.NOT_AUTHORIZED,))
    seen = look(server)
    assert seen.report.pcp.present.value is True
    assert seen.report.pcp.external_ip.reason == "PCP MAP answered NOT_AUTHORIZED"
    assert sum(data[:2] == b"\x02\x01" for data in seen.heard) == 1


def test_a_pcp_server_that_is_off_line_withholds_its_address() -> None:
    server = PcpServer(results=(pcp.ResultCode.NETWORK_FAILURE,))
    assert look(server).report.wan_addresses() == (("PCP", None),)


def test_upnp_is_found_though_the_simulator_cannot_ask_it() -> None:
    seen = look(searched(f"http://{GATEWAY}:5000/root.xml"), port=ssdp.PORT)
    assert seen.report.upnp.present.value is True
    assert seen.report.upnp.external_ip.status is Status.NOT_MEASURED


def test_a_description_elsewhere_is_not_fetched() -> None:
    upnp = look(searched("http://203.0.113.50/root.xml"), port=ssdp.PORT).report.upnp
    assert upnp.present.value is True
    assert upnp.external_ip.status is Status.NOT_MEASURED
    assert "203.0.113.50" in upnp.external_ip.reason


def upnp_through(
    monkeypatch: pytest.MonkeyPatch, answer: UpnpGateway | NetworkUnreachable
) -> MappingService:
    async def ask_gateway(network: Network, location: str, *, patience: Seconds) -> object:
        if isinstance(answer, NetworkUnreachable):
            raise answer
        return answer

    monkeypatch.setattr(gateway, "ask_gateway", ask_gateway)
    return look(searched(f"http://{GATEWAY}:5000/root.xml"), port=ssdp.PORT).report.upnp


def test_what_upnp_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    described = UpnpGateway("10.9.0.2", "IP_Routed", "Connected")
    found = upnp_through(monkeypatch, described)
    assert found.external_ip.value == "10.9.0.2"
    assert found.external_ip.evidence == ("gateway: IP_Routed, Connected",)


def test_a_upnp_gateway_without_an_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = upnp_through(monkeypatch, UpnpGateway(None, "IP_Routed", "Disconnected"))
    assert found.withheld
    assert found.external_ip.status is Status.INCONCLUSIVE


def test_a_upnp_gateway_that_falls_silent_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    found = upnp_through(monkeypatch, NetworkUnreachable("cannot ask the gateway"))
    assert found.present.value is True
    assert not found.withheld
    assert found.external_ip.status is Status.INCONCLUSIVE
