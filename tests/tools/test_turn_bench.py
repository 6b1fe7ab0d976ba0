"""`turn bench`: what it counts is what went through, and it stays within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable, UsageError
from natkit.lab import sim
from natkit.lab.scenarios import scenario
from natkit.lab.topology import World
from natkit.network import Tls
from natkit.tools.stun import Trust
from natkit.tools.turn_bench import bench, find_server
from natkit.tools.turn_load import BenchReport, Direction, Histogram, Load
from natkit.turn.client_auth import Login
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Limits
from natkit.wire import TransportAddress
from tests.lab.turn import IP, SETTINGS, TurnHost, turn_host

ALICE = Login("alice", "wonderland")
SMALL = Load(4, 50.0, 172, Direction.BOTH, 2.0)


def measure(
    load: Load = SMALL,
    *,
    transport: str = "udp",
    login: Login = ALICE,
    loss: float = 0.0,
    spoil: Callable[[TurnHost], object] = lambda host: None,
) -> BenchReport:
    async def main(world: World) -> BenchReport:
        async with turn_host(world) as host:
            spoil(host)
            network = world.network("alice")
            uri = TurnUri.parse(f"turn:{IP}?transport={transport}")
            server = await find_server(network, uri, Trust(), Random(1).randbytes)
            report = await bench(network, server, login, load, Random(1).randbytes)
            assert host.relays == {}
            return report

    return sim.run(scenario("home").with_loss(loss).topology, main, seed=1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_every_packet_is_counted_once_with_its_latency(transport: str) -> None:
    report = measure(transport=transport)
    assert report.clients == 4
    assert set(report.flows) == {"up", "down"}
    for flow in report.flows.values():
        assert (flow.sent, flow.delivered, flow.lost) == (400, 400, 0)
        # 10 ms from the home to the internet, once in each direction of the round.
        assert flow.median == pytest.approx(0.02, rel=0.05)
        assert flow.p99 == pytest.approx(0.02, rel=0.05)
    assert report.seconds == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("way", [Direction.UP, Direction.DOWN])
def test_one_direction_sends_nothing_the_other_way(way: Direction) -> None:
    report = measure(Load(2, 50.0, 1400, way, 1.0))
    assert list(report.flows) == [way.value]
    assert report.flows[way.value].delivered == 100


def test_loss_is_measured() -> None:
    report = measure(Load(4, 100.0, 172, Direction.BOTH, 5.0), loss=0.1)
    for flow in report.flows.values():
        assert flow.loss == pytest.approx(0.19, abs=0.05)  # twice over the lossy link


def test_client_that_fails_is_told_and_the_others_go_on() -> None:
    def spoil(host: TurnHost) -> None:
        few = SETTINGS.__class__(
            SETTINGS.realm,
            SETTINGS.credentials,
            SETTINGS.nonce_key,
            SETTINGS.policy,
            limits=Limits(allocations_per_user=3),
        )
        host.machine.reconfigure(few, now=0.0)

    report = measure(spoil=spoil)
    assert report.clients == 3
    (why,) = report.failed
    assert "error 486" in why
    assert report.flows["up"].delivered == 300


def test_not_one_client_is_an_error_that_says_why() -> None:
    with pytest.raises(AuthenticationFailed, match="error 401"):
        measure(login=Login("alice", "wrong"))


def test_server_that_relays_to_nobody_here_is_an_error_that_says_what_to_allow() -> None:
    def spoil(host: TurnHost) -> None:
        strict = replace(SETTINGS, policy=PeerPolicy())
        host.machine.reconfigure(strict, now=0.0)

    with pytest.raises(NatkitError, match=r"403: the server does not relay to .* --allow-peer"):
        measure(spoil=spoil)


def test_relay_that_hears_nobody_is_an_error_that_names_the_doctor() -> None:
    def spoil(host: TurnHost) -> None:
        host.deaf = True

    with pytest.raises(NetworkUnreachable, match=r"arrives\. See: natkit turn check"):
        measure(Load(1, 1.0, 172, Direction.UP, 1.0), spoil=spoil)


def test_server_that_falls_silent_in_mid_run_is_told() -> None:
    async def main(world: World) -> BenchReport:
        async with turn_host(world) as host:
            network = world.network("alice")
            uri = TurnUri.parse(f"turn:{IP}")
            server = await find_server(network, uri, Trust(), Random(1).randbytes)
            load = replace(SMALL, duration=4.0)
            running = asyncio.create_task(bench(network, server, ALICE, load, Random(1).randbytes))
            await network.sleep(2.0)
            await host.close()
            return await running

    report = sim.run(scenario("home").topology, main, seed=1)
    assert report.flows["up"].loss > 0.3
    assert report.gone == "it is silent"


def test_loss_alone_is_no_server_that_has_gone() -> None:
    assert measure(Load(4, 100.0, 172, Direction.BOTH, 5.0), loss=0.1).gone is None


def test_nothing_that_speaks_turn_is_an_error_with_a_cause_and_a_hint() -> None:
    async def main(world: World) -> None:
        network = world.network("alice")
        server = await find_server(
            network, TurnUri.parse(f"turn:{IP}:9"), Trust(), Random(1).randbytes
        )
        with pytest.raises(NetworkUnreachable) as raised:
            await bench(network, server, ALICE, SMALL, Random(1).randbytes)
        assert raised.value.why is not None
        assert "natkit turn check" in (raised.value.hint or "")

    sim.run(scenario("home").topology, main, seed=1)


@pytest.mark.parametrize(
    ("load", "complaint"),
    [
        (Load(0, 1.0, 172, Direction.UP, 1.0), "0 clients are not in 1 .. 1000"),
        (Load(1001, 1.0, 172, Direction.UP, 1.0), "1001 clients"),
        (Load(1, 1.0, 31, Direction.UP, 1.0), "31 bytes are not in 32 .. 1400"),
        (Load(1, 1.0, 1401, Direction.UP, 1.0), "1401 bytes"),
        (Load(1000, 51.0, 172, Direction.UP, 1.0), "51000 packets a second"),
        (Load(1000, 26.0, 172, Direction.BOTH, 1.0), "52000 packets a second"),
    ],
)
def test_load_out_of_bounds_is_refused(load: Load, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load.check()


def test_server_is_found_with_its_transport_and_its_name() -> None:
    async def main(world: World) -> None:
        network = world.network("alice")
        server = await find_server(
            network, TurnUri.parse("turns:stun"), Trust(verify=False), Random(1).randbytes
        )
        assert server.address == TransportAddress(IP, 5349)
        assert server.transport is Transport.TLS
        assert server.tls == Tls("stun", verify=False)
        with pytest.raises(UsageError, match="DTLS"):
            await find_server(
                network, TurnUri.parse("turns:stun?transport=udp"), Trust(), Random(1).randbytes
            )
        with pytest.raises(NatkitError, match=r"found no address.* the server turn:nowhere"):
            await find_server(network, TurnUri.parse("turn:nowhere"), Trust(), Random(1).randbytes)

    sim.run(scenario("home").topology, main, seed=1)


def test_histogram_gives_percentiles_within_two_percent() -> None:
    histogram = Histogram()
    for number in range(1, 1001):
        histogram.add(number / 1000)
    assert histogram.percentile(0.5) == pytest.approx(0.5, rel=0.02)
    assert histogram.percentile(0.99) == pytest.approx(0.99, rel=0.02)
    assert histogram.percentile(1.0) == pytest.approx(1.0, rel=0.02)
    assert histogram.most == 1.0


def test_empty_histogram_has_no_percentiles() -> None:
    assert Histogram().percentile(0.5) is None


def test_histogram_takes_what_no_clock_can_tell() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    assert histogram.percentile(0.5) == 0.0
