"""One call in a lab: two ICE agents find a path between alice and bob, and data goes over it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from natkit.aio.connection import Connection
from natkit.aio.ice_servers import TurnServer
from natkit.ice.candidate import Candidate
from natkit.ice.events import State
from natkit.lab.scenarios import STUN
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.topology import World
from natkit.lab.turn import turn_host
from natkit.machine import Seconds

RELAY_PORT = 3480
"""The STUN server of the lab has 3478 and 3479."""

USER = ("alice", "wonderland")

PATIENCE: Seconds = 60.0
"""For a whole call: gathering without UDP takes 10 s at most, checks give up after 39.5 s."""

_TRIES, _APART = 60, 0.05
"""How often data is sent until some arrives: at 10 % loss on both links 60 lost ones are 1e-43."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call between the two went.

    Attributes:
        path:    "direct" or "relayed".
        seconds: from both having all candidates until both could send.
        reports: alice's and bob's, as `Connection.report`.
    """

    path: str
    seconds: Seconds
    reports: tuple[dict[str, Any], dict[str, Any]]


class CallFailed(ConnectionError):
    """There is no path, or it carries nothing.

    Attributes: reports: alice's and bob's, as `Connection.report`.
    """

    def __init__(self, why: str, reports: tuple[dict[str, Any], dict[str, Any]]) -> None:
        super().__init__(why)
        self.reports = reports


def relay(transport: str = "udp") -> TurnServer:
    """Return the lab's TURN server, to be reached over `transport` ("udp" or "tcp")."""
    return TurnServer(f"turn:{STUN[0]}:{RELAY_PORT}?transport={transport}", *USER)


async def tell(connection: Connection, other: Connection) -> None:
    """Carry the candidates and the credentials of `other` to `connection`, as signalling would."""
    for candidate in other.local_candidates:
        await connection.add_remote_candidate(Candidate.from_sdp(candidate.to_sdp()))
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
    async with stun_servers(world), turn_host(world, port=RELAY_PORT):
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
            async with asyncio.timeout(PATIENCE):
                return await _connected(a, b, world, changed)
        except (ConnectionError, TimeoutError) as error:
            raise CallFailed(str(error), (a.report(), b.report())) from error
        finally:
            await asyncio.gather(a.close(), b.close())


async def _connected(a: Connection, b: Connection, world: World, changed: asyncio.Event) -> Outcome:
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    began = world.network("alice").now()
    await asyncio.gather(a.connect(), b.connect())
    took = world.network("alice").now() - began
    # A better pair may still replace the first one that works, until one is nominated.
    while {a.state, b.state} != {State.COMPLETED}:
        changed.clear()
        await changed.wait()
    await talk(a, b)
    await talk(b, a)
    pair = a.selected_pair()
    path = "relayed" if pair is not None and pair.is_relayed else "direct"
    return Outcome(path, took, (a.report(), b.report()))
