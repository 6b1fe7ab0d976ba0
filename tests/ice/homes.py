"""Two people behind NATs of their own, in the lab's homes, simulated."""

from __future__ import annotations

from natkit.lab import homes
from natkit.lab.call import Outcome, call, relay, tell
from natkit.lab.homes import HOMES, Home
from natkit.lab.sim import run
from natkit.lab.topology import Nat, Topology
from natkit.lab.turn import PORT as RELAY_PORT

__all__ = ["KINDS", "RELAY_PORT", "call", "outcome", "server", "tell", "two_homes"]

KINDS = {
    kind: home.nat
    for kind, home in HOMES.items()
    if home.nat is not None and home.carrier is None and not home.udp_blocked
}
"""The eight of one NAT each that the measured grid has."""


def two_homes(a: Nat, b: Nat, *, loss: float = 0.0, udp_blocked: bool = False) -> Topology:
    """Return alice behind `a`, perhaps without UDP, and bob behind `b`."""
    return homes.two_homes(Home(a, udp_blocked=udp_blocked), Home(b), loss=loss)


server = relay


def outcome(
    topology: Topology, *, seed: int = 0, transports: tuple[str, ...] = ("udp",)
) -> Outcome:
    return run(topology, lambda world: call(world, seed=seed, transports=transports), seed=seed)
