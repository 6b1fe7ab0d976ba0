"""The clock that jumps, and the ends it puts to what would hang."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from natkit.errors import NatkitError, UsageError
from natkit.lab import sim
from natkit.lab.scenarios import behind
from natkit.lab.sim.loop import Schedule
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import Ear, listen

QUIET = behind(None)


@pytest.mark.parametrize("debug", [False, True])
def test_an_hour_passes_at_once_and_exactly(debug: bool) -> None:
    async def main(world: sim.SimWorld) -> float:
        await world.network("alice").sleep(0.1)
        await asyncio.sleep(3599.0)
        return world.network("alice").now()

    began = time.monotonic()
    assert sim.run(QUIET, main, debug=debug) == 0.1 + 3599.0
    assert time.monotonic() - began < 5


def test_timers_fire_at_their_own_instant() -> None:
    async def main(world: sim.SimWorld) -> list[float]:
        loop, fired = asyncio.get_running_loop(), list[float]()
        for at in (0.3, 0.1, 0.7):
            loop.call_at(at, lambda: fired.append(loop.time()))
        await asyncio.sleep(1)
        return fired

    assert sim.run(QUIET, main) == [0.1, 0.3, 0.7]


def test_calls_of_one_instant_keep_their_order() -> None:
    async def main(world: sim.SimWorld) -> list[int]:
        schedule, called = Schedule(asyncio.get_running_loop()), list[int]()
        for n in range(50):
            schedule.at(1.0, called.append, n)
        schedule.at(0.5, called.append, -1)
        await asyncio.sleep(2)
        return called

    assert sim.run(QUIET, main) == [-1, *range(50)]


def test_the_ceiling_on_time_ends_a_run() -> None:
    async def main(world: sim.SimWorld) -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(NatkitError, match=r"pass 10.0 virtual seconds.*max_virtual_seconds"):
        sim.run(QUIET, main, max_virtual_seconds=10.0)


class Parrot(Ear):
    """Answers everything, for ever."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.send(data, source)


def test_the_ceiling_on_packets_ends_a_run() -> None:
    async def main(world: sim.SimWorld) -> None:
        one = await listen(world, "bob", TransportAddress("203.0.113.50", 1), Parrot())
        await listen(world, "stun", TransportAddress("203.0.113.10", 1), Parrot())
        one.send(b"polly", TransportAddress("203.0.113.10", 1))
        await asyncio.sleep(60)

    with pytest.raises(NatkitError, match=r"pass 500 packets.*max_packets"):
        sim.run(QUIET, main, max_packets=500)


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    async def main(world: sim.SimWorld) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NatkitError, match=r"stuck at 0.0 s: main still waits"):
        sim.run(QUIET, main)


def test_a_clock_that_stands_still_is_an_error_and_not_a_hang() -> None:
    async def main(world: sim.SimWorld) -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(NatkitError, match="stands still"):
        sim.run(QUIET, main)


async def test_a_run_inside_a_running_loop_says_what_to_do() -> None:
    async def main(world: sim.SimWorld) -> None:
        pass

    with pytest.raises(UsageError, match="from a plain function"):
        sim.run(QUIET, main)


def test_an_exception_in_a_receiver_ends_the_run() -> None:
    class Broken(Ear):
        def datagram_received(self, data: bytes, source: TransportAddress) -> None:
            raise ZeroDivisionError("in a receiver")

    async def main(world: sim.SimWorld) -> None:
        ear = await listen(world, "bob", TransportAddress("203.0.113.50", 1), Broken())
        ear.send(b"", TransportAddress("203.0.113.50", 1))
        await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError, match="in a receiver"):
        sim.run(QUIET, main)


def test_what_main_leaves_running_is_cancelled_and_may_finish() -> None:
    ended = []

    async def linger() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            ended.append("finished")

    async def main(world: sim.SimWorld) -> asyncio.Task[None]:
        task = asyncio.create_task(linger())
        await asyncio.sleep(0)
        return task

    assert sim.run(QUIET, main).cancelled()
    assert ended == ["finished"]


def test_an_error_of_main_comes_out_as_it_is() -> None:
    async def main(world: sim.SimWorld) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        sim.run(QUIET, main)


def test_a_task_that_nobody_asked_how_it_went_is_logged_as_asyncio_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("in a task")

    async def main(world: sim.SimWorld) -> str:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        del task
        await asyncio.sleep(1)
        return "done"

    assert sim.run(QUIET, main) == "done"
    assert "never retrieved" in caplog.text
