"""The same call with aioice on both sides, to hold against natkit's own ICE.

aioice takes one TURN server. It asks the machine for its addresses, so `on_lab_hosts` lends it the
lab's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from natkit.errors import Unsupported
from natkit.lab.call import Outcome, calling, connected, talk
from natkit.lab.here import network_here
from natkit.lab.servers import STUN_PORT
from natkit.lab.topology import World
from natkit.lab.turn import IP, PORT, USER


def _aioice() -> Any:
    """Return the module. Raises: Unsupported: it is not installed."""
    try:
        import aioice.ice
    except ImportError as error:
        raise Unsupported(
            "aioice is not installed", hint="Install it: pip install 'natkit[calls]'"
        ) from error
    return aioice


@contextmanager
def on_lab_hosts() -> Iterator[None]:
    """Let aioice see the addresses of the lab's hosts, inside this block.

    Raises: Unsupported: aioice is not installed.
    """
    module = _aioice().ice
    own, module.get_host_addresses = module.get_host_addresses, _addresses_here
    try:
        yield
    finally:
        module.get_host_addresses = own


def _addresses_here(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    network = network_here()
    found = () if network is None else network.interfaces()
    wanted = [it.ip for it in found if it.name != "lo" and not it.ip.startswith("fe80:")]
    return [ip for ip in wanted if (use_ipv6 if ":" in ip else use_ipv4)]


async def aioice_call(world: World, *, transport: str = "udp") -> Outcome:
    """Connect alice and bob with aioice in `world`, inside `on_lab_hosts`, and let them talk.

    Args:   transport: to the TURN server.
    Raises: ConnectionError: there is no path, or it carries nothing.
    """
    a, b = (
        _aioice().Connection(
            controls,
            stun_server=(IP, STUN_PORT),
            turn_server=(IP, PORT),
            turn_username=USER[0],
            turn_password=USER[1],
            turn_transport=transport,
        )
        for controls in (True, False)
    )
    async with calling(world, a, b):
        took = await connected(world, a, b)
        await talk(a, b)
        await talk(b, a)
        path = "relayed" if _is_relayed(a) or _is_relayed(b) else "direct"
        return Outcome(path, took)


def _is_relayed(connection: Any) -> bool:
    pair = connection._nominated[1]
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)
