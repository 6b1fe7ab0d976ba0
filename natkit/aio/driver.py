"""The one place that arms timers: `Alarm`; and `Driver`, which runs a machine on an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from natkit.machine import Instant, Machine
from natkit.network import DatagramEndpoint, DatagramReceiver, Family, IcmpError, Network
from natkit.wire import TransportAddress

Event = TypeVar("Event")


class Alarm:
    """One timer of the running event loop, set to a machine's deadline.

    Args: ring: called when the deadline has come.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._due: Instant | None = None  # uvloop's handles do not tell when

    def set(self, deadline: Instant | None) -> None:
        """Ring at `deadline`, and at no other time; None: do not ring."""
        if self._timer is not None:
            if self._due == deadline:
                return
            self._timer.cancel()
            self._timer = None
        self._due = deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._rang)

    def _rang(self) -> None:
        self._timer = None
        self._ring()


class Driver(DatagramReceiver, Generic[Event]):
    """Feeds a machine with datagrams and time, and carries out what it asks for.

    Use `Driver.open`. After giving the machine a command, call `kick`. Events reach `on_event`
    one by one; it may command the machine and `kick` again.
    """

    def __init__(
        self,
        machine: Machine[Event],
        *,
        on_event: Callable[[Event], None],
        on_error: Callable[[IcmpError], None] | None = None,
    ) -> None:
        self.machine = machine
        self._on_event = on_event
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._endpoint: DatagramEndpoint | None = None
        self._alarm = Alarm(self._tick)
        self._settling = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        network: Network,
        machine: Machine[Event],
        *,
        local: TransportAddress | None = None,
        family: Family = Family.IPV4,
        interface: str | None = None,
        on_event: Callable[[Event], None],
        on_error: Callable[[IcmpError], None] | None = None,
    ) -> Driver[Event]:
        """Bind an endpoint of `network` and run `machine` on it.

        Args:
            local, family, interface: as in `Network.open_datagram`.
            on_event: hears what happened, in order.
            on_error: hears ICMP errors; it may tell the machine, which is then settled.
        Raises: what `Network.open_datagram` raises.
        """
        driver = cls(machine, on_event=on_event, on_error=on_error)
        driver.attach(
            await network.open_datagram(driver, local=local, family=family, interface=interface)
        )
        return driver

    def attach(self, endpoint: DatagramEndpoint) -> None:
        """Run on `endpoint`, which has this driver for its receiver; `open` does both."""
        self._endpoint = endpoint
        self.kick()

    @property
    def endpoint(self) -> DatagramEndpoint:
        """The endpoint that the machine runs on."""
        if self._endpoint is None:
            raise RuntimeError("a driver is made by Driver.open")
        return self._endpoint

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """Hand a datagram to the machine."""
        if not self._closed:
            self.machine.receive(data, source, now=self._loop.time())
            self.kick()

    def error_received(self, error: IcmpError) -> None:
        """Hand an ICMP error to whoever wants to know."""
        if self._on_error is not None and not self._closed:
            self._on_error(error)
            self.kick()

    def kick(self) -> None:
        """Carry out what the machine wants now: call this after every command to it."""
        # While settling (a call from `on_event`) the loop below sees to it; a datagram that came
        # in before `open` had the endpoint in hand waits for the kick there.
        if self._settling or self._closed or self._endpoint is None:
            return
        self._settling = True
        try:
            self._settle()
        finally:
            self._settling = False
        self._arm()

    def close(self) -> None:
        """Stop: no event, no datagram and no timer after this. Closing twice is harmless."""
        self._closed = True
        self._arm()
        self.endpoint.close()

    def _settle(self) -> None:
        """Send and tell until the machine has nothing left to say."""
        while not self._closed:
            for data, destination, ttl in self.machine.transmits():
                self.endpoint.send(data, destination, ttl=ttl)
            events = self.machine.events()
            if not events:
                return
            for event in events:
                self._on_event(event)

    def _arm(self) -> None:
        self._alarm.set(None if self._closed else self.machine.deadline())

    def _tick(self) -> None:
        self.machine.tick(now=self._loop.time())
        self.kick()
