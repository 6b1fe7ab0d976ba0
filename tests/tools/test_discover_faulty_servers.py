"""Servers that promise what they do not keep: "not measured" with the reason, never a guess."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from natkit.errors import MalformedMessage
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, STUN
from natkit.lab.topology import World
from natkit.nat.behaviour import Filtering, Mapping, Measured, Status
from natkit.nat.discovery import Findings
from natkit.network import DatagramEndpoint, Family, IcmpError, Network
from natkit.stun.server import BindingServer, Site
from natkit.tools.discover import discover
from natkit.wire import (
    ChangeRequest,
    Message,
    OtherAddress,
    ResponsePort,
    TransportAddress,
    XorMappedAddress,
)
from tests.campaign import PORTS, SERVER, serve_natkit

FIRST, SECOND = STUN
OTHER = TransportAddress(SECOND, PORTS[1])
PLAIN = TransportAddress("203.0.113.20", PORTS[0])
PLAIN_TOO = TransportAddress("203.0.113.50", PORTS[0])

Reply = tuple[bytes, TransportAddress, TransportAddress]
"""Data, the server's endpoint it leaves from, and where to."""

Answer = Callable[[Message, TransportAddress, TransportAddress], list[Reply]]
"""Takes a request, its source and the endpoint it came to."""


@dataclass
class Server:
    """Answers on given endpoints as `answer` says, after `delay` seconds, or an address's own."""

    network: Network
    answer: Answer
    delay: float = 0.0
    delays: dict[str, float] = field(default_factory=dict)
    endpoints: dict[TransportAddress, DatagramEndpoint] = field(default_factory=dict)

    async def listen(self, *addresses: TransportAddress) -> None:
        for address in addresses:
            self.endpoints[address] = await self.network.open_datagram(
                _At(self, address), local=address
            )


@dataclass
class _At:
    server: Server
    address: TransportAddress

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        try:
            request = Message.decode(data)
        except MalformedMessage:
            return
        for reply, origin, destination in self.server.answer(request, source, self.address):
            asyncio.get_running_loop().call_later(
                self.server.delays.get(origin.ip, self.server.delay),
                self.server.endpoints[origin].send,
                reply,
                destination,
            )

    def error_received(self, error: IcmpError) -> None: ...


def plain(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
    return [(request.success(XorMappedAddress(source)).encode(), at, source)]


def promising(other: TransportAddress, *, silent: bool = False) -> Answer:
    """Announce `other`; ignore CHANGE-REQUEST, or say nothing to it."""

    def answer(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
        if silent and request.find(ChangeRequest) is not None:
            return []
        steered = request.find(ResponsePort)
        to = TransportAddress(source.ip, steered.port) if steered is not None else source
        reply = request.success(XorMappedAddress(source), OtherAddress(other))
        return [(reply.encode(), at, to)]

    return answer


def garbage(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
    whole = request.success(XorMappedAddress(source)).encode()
    junk = [whole[:-3], b"\x00" * 40, b"HTTP/1.1 400 Bad Request\r\n\r\n", whole + b"x"]
    return [(data, at, source) for data in junk]


def empty_answer(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
    return [(request.success().encode(), at, source)]


def elsewhere(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
    reply = request.success(XorMappedAddress(source), OtherAddress(OTHER)).encode()
    return [(reply, SERVER, source)]


def honest(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
    reply = BindingServer(Site(STUN, PORTS)).answer(request.encode(), source, at=at)
    return [] if reply is None else [(reply.data, reply.origin, reply.destination)]


PLAIN_HIGH = TransportAddress(FIRST, 5000)
"""Another port of the server's host: nothing listens on its usual one."""

ALL_FOUR = tuple(TransportAddress(ip, port) for ip in STUN for port in PORTS)


def probed(
    scenario: str,
    answer: Answer,
    endpoints: tuple[TransportAddress, ...],
    *,
    delay: float = 0.0,
    delays: dict[str, float] | None = None,
    asked: tuple[TransportAddress, ...] = (SERVER,),
    others: dict[str, TransportAddress] | None = None,
    budget: float = 6.0,
) -> tuple[Findings, float]:
    """Return what was found with such a server, and how long it took in virtual seconds."""

    async def main(world: World) -> tuple[Findings, float]:
        await Server(world.network("stun"), answer, delay, delays or {}).listen(*endpoints)
        for host, address in (others or {}).items():
            await Server(world.network(host), plain).listen(address)
        network = world.network("alice")
        started = network.now()
        found = await discover(
            network,
            tuple((str(address), address) for address in asked),
            family=Family.IPV4,
            randomness=random.Random(5).randbytes,
            budget=budget,
        )
        return found, network.now() - started

    return sim.run(SCENARIOS[scenario].topology, main, seed=5)


def assert_unmeasured(finding: Measured[object], reason: str) -> None:
    assert finding.status is Status.NOT_MEASURED, finding
    assert finding.value is None
    assert reason in finding.reason


@pytest.mark.parametrize("scenario", ["home", "full-cone", "symmetric"])
def test_a_server_that_ignores_change_request_makes_no_nat_a_full_cone(scenario: str) -> None:
    found, _ = probed(scenario, promising(OTHER), ALL_FOUR)
    assert_unmeasured(found.filtering, "ignores CHANGE-REQUEST")
    assert found.mapping.value is SCENARIOS[scenario].truth.mapping


@pytest.mark.parametrize("scenario", ["home", "full-cone", "symmetric"])
def test_a_server_that_is_silent_to_change_request_makes_no_nat_restricted(scenario: str) -> None:
    found, took = probed(scenario, promising(OTHER, silent=True), ALL_FOUR)
    assert_unmeasured(found.filtering, "never answered a CHANGE-REQUEST")
    assert took < 3


def test_a_private_other_address_is_not_believed() -> None:
    private = TransportAddress("10.9.9.9", 3479)
    found, took = probed("home", promising(private), (SERVER,))
    assert_unmeasured(found.filtering, "is private")
    assert_unmeasured(found.mapping, "two different server addresses")
    assert took < 1


def test_an_other_address_that_is_the_same_address_is_not_believed() -> None:
    found, _ = probed("home", promising(TransportAddress(FIRST, 3479)), ALL_FOUR)
    assert_unmeasured(found.filtering, "does not differ in both")


@pytest.mark.parametrize("scenario", ["home", "symmetric"])
def test_an_unreachable_other_address_leaves_both_unmeasured(scenario: str) -> None:
    nowhere = TransportAddress("203.0.113.99", 3479)
    found, took = probed(scenario, promising(nowhere, silent=True), (SERVER,))
    assert_unmeasured(found.mapping, "two different server addresses")
    assert_unmeasured(found.filtering, "OTHER-ADDRESS 203.0.113.99:3479 does not answer")
    assert took < 3


def test_a_server_that_answers_from_one_address_only_is_found_out() -> None:
    found, _ = probed("home", elsewhere, ALL_FOUR)
    assert found.filtering.status is Status.NOT_MEASURED
    assert found.mapping.value is None


def test_a_falsely_announced_address_gets_few_packets() -> None:
    strangers: list[float] = []

    class Stranger:
        def datagram_received(self, data: bytes, source: TransportAddress) -> None:
            strangers.append(len(data))

        def error_received(self, error: IcmpError) -> None: ...

    victim = TransportAddress("203.0.113.50", 7777)

    async def main(world: World) -> Findings:
        answer = promising(victim, silent=True)
        await Server(world.network("stun"), answer).listen(SERVER)
        await world.network("bob").open_datagram(Stranger(), local=victim)
        return await discover(
            world.network("alice"),
            (("stun", SERVER),),
            family=Family.IPV4,
            randomness=random.Random(5).randbytes,
            budget=6.0,
        )

    found = sim.run(SCENARIOS["home"].topology, main)
    assert_unmeasured(found.filtering, "does not answer")
    assert 0 < len(strangers) <= 30


@pytest.mark.parametrize("name", ["home", "full-cone", "address-restricted"])
def test_an_other_address_that_is_slower_is_waited_for(name: str) -> None:
    found, _ = probed(name, honest, ALL_FOUR, delays={SECOND: 0.4})
    truth = SCENARIOS[name].truth
    assert (found.mapping.value, found.filtering.value) == (truth.mapping, truth.filtering)


def test_answers_that_take_too_long_are_not_called_lost() -> None:
    found, _ = probed("home", honest, ALL_FOUR, delay=1.4)
    assert found.filtering.status is Status.INCONCLUSIVE
    assert "--timeout" in found.filtering.reason


def test_a_closed_port_proves_that_udp_gets_through() -> None:
    found, took = probed("home", plain, (PLAIN_HIGH,))
    assert not found.reachable
    assert found.udp_passes
    assert found.servers[0].note.startswith("nobody listens there")
    assert took < 1


def test_a_server_on_this_side_of_the_nat_is_left_out() -> None:
    inside = TransportAddress("10.0.1.3", 3478)
    others = {"carol": inside}
    found, _ = probed("home", plain, (SERVER,), asked=(inside, SERVER), others=others)
    assert found.nat.value is True
    assert_unmeasured(found.mapping, "two different server addresses")
    assert found.all_external == ("203.0.113.100",)
    assert "this side of the NAT" in found.servers[0].note


def test_late_answers_are_still_answers() -> None:
    found, _ = probed("home", promising(OTHER), ALL_FOUR, delay=1.5)
    assert found.reachable
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT


@pytest.mark.parametrize("answer", [garbage, empty_answer])
def test_garbage_is_no_answer(answer: Answer) -> None:
    found, took = probed("home", answer, (SERVER,))
    assert not found.reachable
    assert found.mapping.value is None
    assert "not with STUN" in found.servers[0].note
    assert took < 3.2


def test_garbage_beside_answers_does_no_harm() -> None:
    def both(request: Message, source: TransportAddress, at: TransportAddress) -> list[Reply]:
        return garbage(request, source, at) + plain(request, source, at)

    found, _ = probed("home", both, (SERVER,), asked=(SERVER, PLAIN), others={"stun2": PLAIN})
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT


def test_a_dead_server_costs_nothing() -> None:
    dead = TransportAddress("203.0.113.98", 3478)
    others = {"stun2": PLAIN}
    found, took = probed("home", plain, (SERVER,), asked=(dead, SERVER, PLAIN), others=others)
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert found.servers[0].note == "no answer"
    assert took < 0.5


def test_two_plain_servers_tell_the_mapping_and_never_the_filtering() -> None:
    others = {"stun2": PLAIN}
    found, _ = probed("full-cone", plain, (SERVER,), asked=(SERVER, PLAIN), others=others)
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert_unmeasured(found.filtering, "no OTHER-ADDRESS")


def test_two_plain_servers_on_one_port_each_cannot_tell_address_from_port() -> None:
    others = {"stun2": PLAIN, "bob": PLAIN_TOO}
    asked = (SERVER, PLAIN, PLAIN_TOO)
    found, _ = probed("symmetric", plain, (SERVER,), asked=asked, others=others)
    assert found.mapping.status is Status.INCONCLUSIVE
    assert found.depends


def test_two_names_of_one_address_are_one_server() -> None:
    found, _ = probed("home", plain, (SERVER,), asked=(SERVER, SERVER))
    assert_unmeasured(found.mapping, "two different server addresses")


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_a_full_server_whose_first_answers_get_lost_is_waited_for(loss: float) -> None:
    async def main(world: World) -> Findings:
        await serve_natkit(world)
        await Server(world.network("stun2"), plain).listen(PLAIN)
        return await discover(
            world.network("alice"),
            (("full", SERVER), ("plain", PLAIN)),
            family=Family.IPV4,
            randomness=random.Random(5).randbytes,
            budget=6.0,
        )

    topology = SCENARIOS["home"].with_loss(loss).topology
    for seed in range(8):
        found = sim.run(topology, main, seed=seed)
        assert found.filtering.value is Filtering.ADDRESS_AND_PORT_DEPENDENT, seed


@dataclass
class Throttle:
    """An honest RFC 5780 server that answers only so many requests a second."""

    rate: float
    answered_at: list[float] = field(default_factory=list)

    def __call__(
        self, request: Message, source: TransportAddress, at: TransportAddress
    ) -> list[Reply]:
        now = asyncio.get_running_loop().time()
        self.answered_at = [then for then in self.answered_at if then > now - 1.0]
        if len(self.answered_at) >= self.rate:
            return []
        self.answered_at.append(now)
        return honest(request, source, at)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [5, 20, 50, 100])
@pytest.mark.parametrize("name", ["full-cone", "address-restricted", "home", "symmetric-eif"])
def test_a_server_that_throttles_is_not_taken_for_a_filter(name: str, rate: int) -> None:
    found, took = probed(name, Throttle(rate), ALL_FOUR)
    truth = SCENARIOS[name].truth
    assert found.mapping.value in (None, truth.mapping)
    assert found.filtering.value in (None, truth.filtering)
    assert took <= 6.2


def test_an_unfit_server_beside_a_dead_one_keeps_nobody_waiting() -> None:
    dead = TransportAddress("203.0.113.98", 3478)
    found, took = probed("home", promising(OTHER), ALL_FOUR, asked=(SERVER, dead))
    assert_unmeasured(found.filtering, "ignores CHANGE-REQUEST")
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert took < 1.5


FAULTY = {
    "ignores CHANGE-REQUEST": promising(TransportAddress("203.0.113.21", 3479)),
    "silent to CHANGE-REQUEST": promising(TransportAddress("203.0.113.50", 3479), silent=True),
    "announces a dead address": promising(TransportAddress("203.0.113.99", 3479), silent=True),
}


@pytest.mark.parametrize("answer", FAULTY.values(), ids=list(FAULTY))
def test_where_one_server_is_unfit_the_next_one_is_asked(answer: Answer) -> None:
    async def main(world: World) -> Findings:
        await serve_natkit(world)
        await Server(world.network("stun2"), answer).listen(PLAIN)
        return await discover(
            world.network("alice"),
            (("unfit", PLAIN), ("fit", SERVER)),
            family=Family.IPV4,
            randomness=random.Random(5).randbytes,
            budget=6.0,
        )

    found = sim.run(SCENARIOS["address-restricted"].topology, main)
    assert found.filtering.value is Filtering.ADDRESS_DEPENDENT
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT


def test_behind_an_unfit_server_plain_ones_still_tell_the_mapping() -> None:
    nowhere = promising(TransportAddress("203.0.113.99", 3479), silent=True)
    others = {"stun2": PLAIN}
    found, _ = probed("home", nowhere, (SERVER,), asked=(SERVER, PLAIN), others=others)
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
    assert_unmeasured(found.filtering, "does not answer")


def test_an_rfc5780_server_is_preferred_over_a_quicker_plain_one() -> None:
    async def main(world: World) -> Findings:
        await serve_natkit(world)
        await Server(world.network("stun2"), plain).listen(PLAIN)
        return await discover(
            world.network("alice"),
            (("plain", PLAIN), ("full", SERVER)),
            family=Family.IPV4,
            randomness=random.Random(5).randbytes,
            budget=6.0,
        )

    found = sim.run(SCENARIOS["address-restricted"].topology, main)
    assert found.filtering.value is Filtering.ADDRESS_DEPENDENT
