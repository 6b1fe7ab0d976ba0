"""One call in a lab: two ICE agents find a path between alice and bob, and data goes over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from natkit.aio.connection import Connection
from natkit.aio.ice_servers import TurnServer
from natkit.ice.events import State
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.topology import World
from natkit.lab.turn import IP, PORT, USER, turn_host
from natkit.machine import Seconds

PATIENCE: Seconds = 60.0
"""For a whole call: gathering without UDP takes 10 s at most, checks give up after 39.5 s."""

_TRIES, _APART = 200, 0.05
"""How often data is sent until some arrives: 10 s, since a relay over TCP that loses packets stalls
for twice as long with each one lost in a row."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call between the two went.

    Attributes:
        path:    "direct" or "relayed".
        seconds: from both having all candidates until both could send.
        reports: alice's and bob's, as `Connection.report`; empty: this engine makes none.
    """

    path: str
    seconds: Seconds
    reports: tuple[dict[str, Any], ...] = ()


class CallFailed(ConnectionError):
    """There is no path, or it carries nothing.

    Attributes: reports: alice's and bob's, as `Connection.report`.
    """

    def __init__(self, why: str, reports: tuple[dict[str, Any], ...]) -> None:
        super().__init__(why)
        self.reports = reports


def relay(transport: str = "udp") -> TurnServer:
    """Return the lab's TURN server, to be reached over `transport` ("udp" or "tcp")."""
    return TurnServer(f"turn:{IP}:{PORT}?transport={transport}", *USER)


async def tell(connection: Any, other: Any) -> None:
    """Carry the candidates and the credentials of `other` to `connection`, as signalling would."""
    for candidate in other.local_candidates:
        text = candidate.to_sdp()
        await connection.add_remote_candidate(type(candidate).from_sdp(text))
    await connection.add_remote_candidate(None)
    connection.remote_username = other.local_username
    connection.remote_password = other.local_password


async def talk(sender: Any, receiver: Any) -> None:
    """See data arrive, with some of it lost on the way. Raises: ConnectionError: none did."""
    hearing = asyncio.ensure_future(receiver.recv())
    for _ in range(_TRIES):
        await sender.send(b"hello")
        if (await asyncio.wait({hearing}, timeout=_APART))[0]:
            await hearing
            return
    hearing.cancel()
    raise ConnectionError("the path carries no data")


async def call(world: World, *, seed: int, transports: tuple[str, ...] = ("udp", "tcp")) -> Outcome:
    """Connect alice and bob in `world`, which `two_homes` is built into, and let them talk.

    Args:   transports: to the TURN server.
    Raises: CallFailed: there is no path, it carries nothing, or it all takes too long.
    """
    changed = asyncio.Event()
    a, b = (
        Connection(
            controls,
            stun_servers=STUN_SERVERS,
            turn_servers=[relay(transport) for transport in transports],
            on_state=lambda _: changed.set(),
            network=world.network(name),
            randomness=Random(f"{name}{seed}").randbytes,
        )
        for name, controls in (("alice", True), ("bob", False))
    )
    try:
        async with calling(world, a, b):
            return await _called(world, a, b, changed)
    except ConnectionError as error:
        raise CallFailed(str(error), (a.report(), b.report())) from error


async def _called(world: World, a: Connection, b: Connection, changed: asyncio.Event) -> Outcome:
    took = await connected(world, a, b)
    # A better pair may still replace the first one that works, until one is nominated.
    while {a.state, b.state} != {State.COMPLETED}:
        changed.clear()
        await changed.wait()
    await talk(a, b)
    await talk(b, a)
    pair = a.selected_pair()
    path = "relayed" if pair is not None and pair.is_relayed else "direct"
    return Outcome(path, took, (a.report(), b.report()))


@asynccontextmanager
async def calling(world: World, a: Any, b: Any) -> AsyncIterator[None]:
    """Have servers for a call in `world` inside this block, and close both sides after it.

    Raises: ConnectionError: the block takes more than `PATIENCE`.
    """
    async with stun_servers(world), turn_host(world):
        try:
            async with asyncio.timeout(PATIENCE):
                yield
        except TimeoutError as error:
            raise ConnectionError(f"no call within {PATIENCE:g} s; {_had(a, b)}") from error
        finally:
            await asyncio.gather(a.close(), b.close())


async def connected(world: World, a: Any, b: Any) -> Seconds:
    """Let both sides gather, tell each other, and connect; return how long the last step took.

    Raises: ConnectionError: there is no path.
    """

    async def each(alices: Awaitable[None], bobs: Awaitable[None]) -> None:
        await asyncio.gather(_on(world, "alice", alices), _on(world, "bob", bobs))

    await each(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    began = world.network("alice").now()
    try:
        await each(a.connect(), b.connect())
    except ConnectionError as error:
        raise ConnectionError(f"{error}; {_had(a, b)}") from error
    return world.network("alice").now() - began


def _had(a: Any, b: Any) -> str:
    """Return what each side had to make a path of."""
    kinds = [", ".join(dict.fromkeys(it.type for it in side.local_candidates)) for side in (a, b)]
    return "candidates of alice: {}; of bob: {}".format(*(found or "none" for found in kinds))


async def _on(world: World, host: str, work: Awaitable[None]) -> None:
    with world.as_host(host):
        await work
