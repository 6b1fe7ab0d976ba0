"""Where the two calls are made: on this machine, or between two homes of natkit's lab."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from calto_demo.peer.peer import Servers
from calto_demo.peer.signalling import LineSignalling, Switchboard
from natkit import (
    Drop,
    NatkitError,
    Network,
    SocketNetwork,
    Stage,
    StreamEndpoint,
    TransportAddress,
    TurnServer,
    on_stage,
    serve_relay,
)
from natkit.aiortc import virtual_time

T = TypeVar("T")

SOMEWHERE = TransportAddress("203.0.113.1", 9)
"""On the internet: which of our addresses is used for it is asked, and nothing sent."""


class NoMeeting(NatkitError):
    """There is no signalling, so no call can be tried."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Place:
    """What two peers need to call each other.

    Attributes:
        network: of "alice", who calls, or "bob".
        connect: her or his way to the server where signalling meets.
        carried: bytes of payload that the relay has carried so far.
        drops:   datagrams that ended on their way; None: nobody can tell here.
        randomness: hers or his.
        nats:    hers and his, as `natkit.explain_path` takes them; None: not known.
    """

    servers: Servers
    network: Callable[[str], Network]
    connect: Callable[[str], Awaitable[StreamEndpoint]]
    carried: Callable[[], Awaitable[int]]
    drops: list[Drop] | None = None
    randomness: Callable[[str], Callable[[int], bytes]] = lambda _: secrets.token_bytes
    nats: tuple[Any, Any] = (None, None)

    async def signalling(self, name: str) -> LineSignalling:
        """Return her or his signalling."""
        return LineSignalling(await self.connect(name))


Play = Callable[[Place], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Lab:
    """Two homes of the lab.

    Attributes:
        pair:       "home-vs-symmetric": alice's and bob's.
        relay_away: seconds from the middle of the internet to the servers, one way.
    """

    pair: str
    backend: str = "sim"
    seed: int = 0
    loss: float = 0.0
    relay_away: float = 0.0

    def __str__(self) -> str:
        loss = f", {100 * self.loss:g} % loss on each home's line" if self.loss else ""
        away = f"{1000 * self.relay_away:g} ms from the middle of the internet"
        if self.backend == "netns":
            return f"Linux namespaces, {self.pair}{loss}"
        return f"simulator, {self.pair}, servers {away}{loss}, seed {self.seed}"

    def play(self, play: Play[T]) -> T:
        """Await `play(place)` in a lab of its own. Raises: as `natkit.on_stage`."""

        async def staged(stage: Stage) -> T:
            if self.backend == "netns":
                return await self._between(stage, play)
            with virtual_time(stage.network("alice").now, seed=self.seed):
                return await self._between(stage, play)

        return on_stage(
            self.pair,
            staged,
            backend=self.backend,
            seed=self.seed,
            loss=self.loss,
            relay_away=self.relay_away,
        )

    async def _meet(self, stage: Stage, name: str) -> StreamEndpoint:
        try:
            return await stage.network(name).open_stream(stage.meeting)
        except NatkitError as error:
            lost = f", with {100 * self.loss:g} % of all packets lost" if self.loss else ""
            what = f"{name} does not get through to the server where both meet{lost}"
            hint = "Give --loss less" if self.loss else "Give --relay-away less"
            raise NoMeeting(what, hint=hint) from error

    async def _between(self, stage: Stage, play: Play[T]) -> T:
        async def carried() -> int:
            return stage.carried.to_peers_bytes + stage.carried.from_peers_bytes

        stun = [f"stun:{host}:{port}" for host, port in stage.stun]
        place = Place(
            Servers(stun, stage.turn),
            stage.network,
            lambda name: self._meet(stage, name),
            carried,
            stage.drops,
            lambda name: Random(f"{name} {self.seed}").randbytes,
            stage.nats,
        )
        board = Switchboard()
        listener = await stage.network("stun").listen_stream(board.serve, local=stage.meeting)
        with closing(listener):
            return await play(place)


class ThisMachine:
    """Both peers and the servers on this machine, over its own addresses."""

    def __str__(self) -> str:
        return "this machine: both peers, and a STUN and TURN server of natkit's"

    def play(self, play: Play[T]) -> T:
        """Await `play(place)`. Raises: NetworkUnreachable: no address can be bound."""

        async def body() -> T:
            async with _here() as place:
                return await play(place)

        return asyncio.run(body())


@asynccontextmanager
async def _here() -> AsyncIterator[Place]:
    network, password = SocketNetwork(), secrets.token_hex(16)
    ip = network.source_for(SOMEWHERE) or "127.0.0.1"
    options = {
        "listen": [f"udp://{ip}:0"],
        "user": [f"calto:{password}"],
        "allow-peer": [interface.ip for interface in network.interfaces()],
        "metrics": "off",
    }
    relay = await serve_relay(options, lambda _: None)
    board = Switchboard()
    listener = await network.listen_stream(board.serve, local=TransportAddress(ip, 0))

    async def carried() -> int:
        counted = (await relay.live()).carried
        return counted.to_peers_bytes + counted.from_peers_bytes

    (uri,) = relay.uris
    stun = uri.partition("?")[0].replace("turn:", "stun:")
    try:
        yield Place(
            Servers([stun], [TurnServer(uri, "calto", password)]),
            lambda _: network,
            lambda _: network.open_stream(listener.local),
            carried,
        )
    finally:
        await listener.stop()
        await relay.close()
