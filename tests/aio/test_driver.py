"""The driver: one machine, one endpoint, exactly one timer."""

from __future__ import annotations

import asyncio

import pytest

from natkit.aio.driver import Driver
from natkit.machine import Instant, Transmit
from natkit.network import DatagramReceiver, Family, IcmpError
from natkit.wire import TransportAddress

PEER = TransportAddress("192.0.2.1", 3478)


class Scripted:
    """A machine whose wishes a test sets by hand."""

    def __init__(self) -> None:
        self.wanted: Instant | None = None
        self.outgoing: list[Transmit] = []
        self.told: list[str] = []
        self.received: list[bytes] = []
        self.ticks: list[Instant] = []

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        self.received.append(data)
        self.told.append(f"got {data.decode()}")

    def tick(self, *, now: Instant) -> None:
        self.ticks.append(now)
        self.wanted = None
        self.told.append("ticked")

    def deadline(self) -> Instant | None:
        return self.wanted

    def transmits(self) -> list[Transmit]:
        outgoing, self.outgoing = self.outgoing, []
        return outgoing

    def events(self) -> list[str]:
        told, self.told = self.told, []
        return told


class Wire:
    """A network of one endpoint that writes down what is sent."""

    local = TransportAddress("192.0.2.9", 5000)

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, TransportAddress, int | None]] = []
        self.closed = 0

    async def open_datagram(
        self,
        receiver: DatagramReceiver,
        *,
        local: TransportAddress | None = None,
        family: Family = Family.IPV4,
        interface: str | None = None,
    ) -> Wire:
        receiver.datagram_received(b"early", PEER)
        return self

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        self.sent.append((data, destination, ttl))

    def close(self) -> None:
        self.closed += 1


async def opened(machine: Scripted, wire: Wire, heard: list[str]) -> Driver[str]:
    return await Driver.open(wire, machine, on_event=heard.append)  # type: ignore[arg-type]


def timers() -> list[asyncio.TimerHandle]:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [handle for handle in scheduled if not handle.cancelled()]


async def test_arms_exactly_one_timer_however_often_it_is_kicked() -> None:
    machine, heard = Scripted(), []
    others = len(timers())
    driver = await opened(machine, Wire(), heard)
    now = asyncio.get_running_loop().time()
    for offset in (50.0, 40.0, 60.0, 60.0):
        machine.wanted = now + offset
        driver.kick()
        assert len(timers()) == others + 1
    assert now + 60.0 in [handle.when() for handle in timers()]
    machine.wanted = None
    driver.kick()
    assert len(timers()) == others
    driver.close()


async def test_ticks_the_machine_when_its_deadline_comes() -> None:
    machine, ticked = Scripted(), asyncio.Event()
    driver = await Driver.open(Wire(), machine, on_event=lambda e: e == "ticked" and ticked.set())  # type: ignore[arg-type]
    machine.wanted = asyncio.get_running_loop().time() + 0.01
    due = machine.wanted
    driver.kick()
    await ticked.wait()
    assert len(machine.ticks) == 1
    assert machine.ticks[0] >= due - 0.001
    driver.close()


async def test_datagram_that_comes_before_the_endpoint_is_known_is_kept() -> None:
    machine, heard = Scripted(), []
    driver = await opened(machine, Wire(), heard)
    assert machine.received == [b"early"]
    assert heard == ["got early"]
    driver.close()


async def test_sends_with_the_ttl_that_was_asked_for() -> None:
    machine, wire = Scripted(), Wire()
    driver = await opened(machine, wire, [])
    machine.outgoing = [Transmit(b"a", PEER), Transmit(b"b", PEER, 2)]
    driver.kick()
    assert wire.sent == [(b"a", PEER, None), (b"b", PEER, 2)]
    driver.close()


async def test_command_from_inside_an_event_is_carried_out() -> None:
    machine, wire = Scripted(), Wire()

    def answer(event: str) -> None:
        if event == "got ping":
            machine.outgoing.append(Transmit(b"pong", PEER))
            driver.kick()

    driver = await Driver.open(wire, machine, on_event=answer)  # type: ignore[arg-type]
    driver.datagram_received(b"ping", PEER)
    assert [data for data, _, _ in wire.sent] == [b"pong"]
    driver.close()


async def test_icmp_error_reaches_its_listener_and_settles() -> None:
    machine, wire, seen = Scripted(), Wire(), []

    def note(error: IcmpError) -> None:
        seen.append(error)
        machine.outgoing.append(Transmit(b"retry", PEER))

    driver = await Driver.open(wire, machine, on_event=lambda _: None, on_error=note)  # type: ignore[arg-type]
    error = IcmpError(3, 3, PEER, "192.0.2.1")
    driver.error_received(error)
    assert seen == [error]
    assert wire.sent == [(b"retry", PEER, None)]
    driver.close()


async def test_closed_driver_is_silent() -> None:
    machine, wire, heard = Scripted(), Wire(), []
    others = len(timers())
    driver = await opened(machine, wire, heard)
    machine.wanted = asyncio.get_running_loop().time() + 50
    driver.kick()
    driver.close()
    driver.close()
    heard.clear()
    driver.datagram_received(b"late", PEER)
    driver.error_received(IcmpError(3, 3, None, None))
    driver.kick()
    assert heard == []
    assert len(timers()) == others
    assert wire.closed == 2


def test_what_is_due_at_once_is_armed_on_uvloop() -> None:
    """Its handles do not tell when they are for, least of all those that are due."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        machine, heard = Scripted(), []
        driver = await opened(machine, Wire(), heard)
        machine.wanted = asyncio.get_running_loop().time()
        driver.kick()
        driver.kick()
        await asyncio.sleep(0.01)
        assert len(machine.ticks) == 1
        driver.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
