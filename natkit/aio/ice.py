"""An ICE agent on a network: its sockets and relays, and its one timer.

Rule of the file: the machines decide, this carries out. After a command to one of them: `kick`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from natkit.aio.driver import Alarm
from natkit.aio.ice_tcp import TcpEndpoint, TcpReceiver
from natkit.aio.port_mapping import PortMapping
from natkit.aio.turn_client import RelayedEndpoint
from natkit.ice.agent import IceAgent
from natkit.ice.events import AgentEvent, CandidatesFreed, PairSelected, State, StateChanged
from natkit.ice.gather import CandidateFound, Gatherer, GatherEvent, GatheringEnded
from natkit.ice.pair import Path
from natkit.machine import soonest
from natkit.network import DatagramEndpoint, DatagramReceiver, IcmpError, Network
from natkit.wire import TransportAddress
from natkit.wire.header import MAGIC_COOKIE

Event: TypeAlias = AgentEvent | GatherEvent

_LAST_STUN_BYTE = 3
"""What begins with 0 .. 3 and has the magic cookie is STUN, all else is data (RFC 7983 §7)."""

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


@dataclass(slots=True, eq=False)
class Port(TcpReceiver):
    """The receiver of one endpoint.

    Attributes:
        tcp:  it is made of TCP connections.
        base: its address, by which the machines name it; None until that is known.
    """

    owner: IceTransport
    component: int
    tcp: bool = False
    base: TransportAddress | None = None
    endpoint: DatagramEndpoint | None = None

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """A datagram came in."""
        if self.base is not None:
            self.owner.came(Path(self.base, source, self.tcp), self.component, data)

    def error_received(self, error: IcmpError) -> None:
        """Something sent from here did not arrive."""
        if self.base is not None:
            self.owner.complained(self.base, error)

    def connection_ended(self, remote: TransportAddress, why: str) -> None:
        """A TCP connection could not be made, or has ended."""
        if self.base is not None:
            self.owner.broken(Path(self.base, remote, self.tcp), why)


@dataclass(slots=True)
class BothFamilies(DatagramReceiver):
    """The receiver of a relay: what it brings came in at its address of the sender's family."""

    v4: Port
    v6: Port

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """A datagram came in."""
        (self.v6 if source.is_ipv6 else self.v4).datagram_received(data, source)

    def error_received(self, error: IcmpError) -> None:
        """Something sent from here did not arrive."""
        to = error.destination
        (self.v6 if to is not None and to.is_ipv6 else self.v4).error_received(error)


Name: TypeAlias = tuple[TransportAddress, bool]
"""Of a port: its base, and whether it is one of TCP."""


@dataclass(slots=True, eq=False)
class Generation:
    """What was opened for one ICE session; a restart opens anew.

    Attributes:
        mappings: on the gateway, by the base that they lead to.
        ended:    gathering is over.
    """

    gatherer: Gatherer
    ports: dict[Name, Port] = field(default_factory=dict)
    mappings: dict[TransportAddress, PortMapping] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    ended: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as long as this generation gathers."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def stop(self) -> None:
        """Gather no more."""
        for task in self.tasks:
            task.cancel()
        if not self.ended.done():
            self.ended.set_result(None)


class IceTransport:
    """Runs an agent, and the gatherers of its sessions.

    Args:
        on_event: hears what happened, in order.
        on_data:  hears data of the peer's, with its component.
    """

    def __init__(
        self,
        network: Network,
        agent: IceAgent,
        *,
        on_event: Callable[[Event], None],
        on_data: Callable[[bytes, int], None],
    ) -> None:
        self.network, self.agent = network, agent
        self._on_event, self._on_data = on_event, on_data
        self._alarm = Alarm(self._tick)
        self._ports: dict[Name, Port] = {}
        self._generations = [Generation(Gatherer(self.agent.randomness))]
        self._settling = self._closed = False
        self._work: set[asyncio.Task[None]] = set()

    @property
    def generation(self) -> Generation:
        """What belongs to the agent's present session."""
        return self._generations[-1]

    def renew(self) -> None:
        """Begin another generation: the agent was restarted. The old one goes when that is done."""
        self.generation.stop()
        self._generations.append(Generation(Gatherer(self.agent.randomness)))

    def adopt(self, port: Port, base: TransportAddress, generation: Generation) -> None:
        """Take in a port that is open; one that comes after `close` is closed."""
        port.base = base
        self._ports[base, port.tcp] = generation.ports[base, port.tcp] = port
        if self._closed:
            self._retire(generation)

    def send(self, data: bytes, component: int) -> None:
        """Send data to the peer. Raises: ConnectionError: there is no path."""
        base, remote, tcp = self.agent.path(component, now=self.network.now())
        port = self._ports.get((base, tcp))
        if port is None or port.endpoint is None:
            raise ConnectionError("Cannot send data, not connected")
        port.endpoint.send(data, remote)

    async def close(self) -> None:
        """Close every endpoint, and give relayed addresses back."""
        self._closed = True
        self._alarm.set(None)
        for generation in self._generations:
            generation.stop()
            self._retire(generation)
        if self._work:
            await asyncio.wait(self._work)

    # What the network says.

    def came(self, path: Path, component: int, data: bytes) -> None:
        """Take a datagram."""
        if self._closed:
            return
        base, source, tcp = path
        now = self.network.now()
        if data[4:8] != _COOKIE or data[0] > _LAST_STUN_BYTE:
            if self.agent.accepts(source, at=base, now=now):
                self._on_data(data, component)
            return
        if not tcp:
            self.generation.gatherer.receive(data, source, at=base, now=now)
        self.agent.receive(data, source, at=base, tcp=tcp, now=now)
        self.kick()

    def complained(self, base: TransportAddress, error: IcmpError) -> None:
        """Take an ICMP error."""
        if not self._closed:
            now = self.network.now()
            self.generation.gatherer.error_received(error, at=base, now=now)
            self.agent.error_received(error, at=base, now=now)
            self.kick()

    def broken(self, path: Path, why: str) -> None:
        """Take that there is no TCP connection on a path, or no more."""
        if not self._closed:
            self.agent.broken(path, why, now=self.network.now())
            self.kick()

    # What the machines say.

    def kick(self) -> None:
        """Carry out what the machines want now."""
        if self._settling or self._closed:
            return
        self._settling = True
        try:
            while self._settle():
                pass
        finally:
            self._settling = False
        if not self._closed:
            gatherer = self.generation.gatherer
            self._alarm.set(soonest((self.agent.deadline(), gatherer.deadline())))

    def _settle(self) -> bool:
        """Send, and tell; False: nothing has happened that anything could follow from."""
        gatherer = self.generation.gatherer
        for data, destination, base, tcp in (*self.agent.transmits(), *gatherer.transmits()):
            port = self._ports.get((base, tcp))
            if port is not None and port.endpoint is not None:
                port.endpoint.send(data, destination)
        events = (*gatherer.events(), *self.agent.events())
        for event in events:
            self._heard(event)
        return bool(events)

    def _tick(self) -> None:
        now = self.network.now()
        self.generation.gatherer.tick(now=now)
        self.agent.tick(now=now)
        self.kick()

    def _heard(self, event: Event) -> None:
        now = self.network.now()
        match event:
            case CandidateFound(local):
                self.agent.add_local(local, now=now)
            case GatheringEnded():
                self.generation.stop()
                self.agent.end_of_local(now=now)
            case PairSelected(component=component, nominated=True):
                self._shorten(component)
            case StateChanged(state=State.COMPLETED):
                self.generation.gatherer.release()
                for old in self._generations[:-1]:
                    self._retire(old)
                del self._generations[:-1]
            case CandidatesFreed(chosen):
                self._free(self.generation, chosen)
        self._on_event(event)

    def _shorten(self, component: int) -> None:
        """Have a relay carry data to the chosen peer in a channel, with 4 bytes and not 36."""
        base, remote, tcp = self.agent.path(component, now=self.network.now())
        port = self._ports.get((base, tcp))
        if port is not None and isinstance(port.endpoint, RelayedEndpoint):
            self._spawn(_open_channel(port.endpoint, remote))

    def _retire(self, generation: Generation) -> None:
        """Close all that was opened for a session."""
        self._free(generation, frozenset())

    def _free(self, generation: Generation, chosen: frozenset[Path]) -> None:
        """Close all that no chosen path needs."""
        names = {(path.base, path.tcp) for path in chosen}
        used = {port.endpoint for name, port in generation.ports.items() if name in names}
        for name in generation.ports.keys() - names:
            self._ports.pop(name, None)
            endpoint = generation.ports.pop(name).endpoint
            if endpoint in used:  # a relay's other address
                continue
            if isinstance(endpoint, RelayedEndpoint | TcpEndpoint):
                self._spawn(endpoint.close_and_wait())
            elif endpoint is not None:
                endpoint.close()
        for path in chosen:
            if path.tcp and isinstance(
                kept := generation.ports[path.base, True].endpoint, TcpEndpoint
            ):
                kept.keep(path.remote)
        for base in generation.mappings.keys() - {path.base for path in chosen}:
            self._spawn(generation.mappings.pop(base).close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


async def _open_channel(relay: RelayedEndpoint, peer: TransportAddress) -> None:
    """Ask for a channel; without one, data goes in indications."""
    await relay.try_to_open_channel(peer)
