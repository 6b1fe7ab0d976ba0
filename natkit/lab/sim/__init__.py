"""A simulated internet: deterministic from a seed, on a clock that jumps.

    report = natkit.lab.sim.run(scenario.topology, main, seed=7)

runs `await main(world)`; `world.network("alice")` is the `Network` that alice's programs see.
"""

from natkit.lab.sim.trace import Direction, Observer, Record
from natkit.lab.sim.world import SimWorld, run

__all__ = ["Direction", "Observer", "Record", "SimWorld", "run"]
