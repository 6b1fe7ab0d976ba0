"""natkit's probe beside coturn's turnutils_natdiscovery and pystun3, on real Linux NATs.

All ask the same coturn server with two addresses, one after the other in the same network, in an
order that changes from round to round. Each round has a fresh network: pystun3 always sends from
the same port, and would find the holes that its last run left in the NAT.

Several networks run at once, each in a process of its own: the tools mostly wait. Every tool is a
program started inside the network and timed until it ends, natkit with the start of Python and
with all else that a probe looks at (layers, port mapping, fallback). What natkit takes for the
part that the others do, mapping and filtering, stands in rows of its own ("discovery alone").
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context

from natkit.cli.render import Progress
from natkit.errors import Unsupported
from natkit.lab.netns import Privilege, capability, enter_user_namespace, programs
from scripts.benchmarks import Row
from scripts.benchmarks._nat_round import (
    DISCOVERY,
    NATDISCOVERY,
    PROBE,
    PYSTUN3,
    Answer,
    Task,
    measure,
)
from scripts.benchmarks._nat_tools import Grade

NATS = (
    "home",
    "home-random",
    "full-cone",
    "full-cone-random",
    "address-restricted",
    "symmetric",
    "symmetric-eif",
    "symmetric-adf",
    "adm-apdf",
    "adm-adf",
    "adm-eif",
    "symmetric-hashed",
    "sequential",
    "port-block",
)
"""Scenarios of the lab: every mapping with every filtering, and every way to choose a port."""

PORT_RESTRICTED = ("home", "home-random")

LOSS = 0.1
"""Each way, so that about one request in five stays without an answer."""

ROUNDS = 3

AT_ONCE = 6
"""Networks at a time. One keeps a core busy for some 2 s of the 15 s or so that it takes."""


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Measure all tools on all networks.

    Args:   rounds: how often, >= 1. One takes a minute or so.
    Raises: Unsupported: the lab or a peer is missing here.
    """
    peers = {NATDISCOVERY: f"turnutils_natdiscovery {_coturn()}", PYSTUN3: f"pystun3 {_pystun3()}"}
    tasks = [
        Task(nat, loss, turn=turn + place)
        for turn in range(rounds)
        for place, nat in enumerate(NATS)
        for loss in (0.0, LOSS)
    ]
    return summary(measured(tasks), peers)


def measured(tasks: Sequence[Task]) -> list[Answer]:
    """Measure `tasks`, AT_ONCE of them at a time. Raises: Unsupported: no namespaces here."""
    found = capability()
    found.require()
    enter = enter_user_namespace if found.privilege is Privilege.USER_NAMESPACE else None
    answers: list[Answer] = []
    # Spawned, not forked: a process that enters a user namespace may have no second thread.
    with (
        Progress() as progress,
        ProcessPoolExecutor(AT_ONCE, get_context("spawn"), initializer=enter) as workers,
    ):
        for done, result in enumerate(workers.map(measure, tasks), 1):
            progress.say(f"{done} of {len(tasks)} networks")
            answers += result
    return answers


def _coturn() -> str:
    for program in ("turnserver", "turnutils_natdiscovery"):
        if programs.find(program) is None:
            raise Unsupported(f"no program {program} here", hint="Install it: apt install coturn")
    return programs.run(["turnserver", "--version"]).split()[-1]


def _pystun3() -> str:
    try:
        return version("pystun3")
    except PackageNotFoundError:
        raise Unsupported("no pystun3 here", hint="Install it: pip install pystun3") from None


# -- the rows -------------------------------------------------------------------------------------


def summary(answers: Sequence[Answer], peers: dict[str, str]) -> list[Row]:
    """Return what is worth reading of `answers`.

    Args: peers: tool -> its name with its version.
    """
    clean = [a for a in answers if a.task.loss == 0]
    lossy = [a for a in answers if a.task.loss > 0]
    restricted = [a for a in lossy if a.task.nat in PORT_RESTRICTED]
    found: list[Row] = []
    for conditions, some in (("clean", clean), ("10 % loss", lossy)):
        for ours, name in ((PROBE, "probe"), (DISCOVERY, "discovery alone")):
            found += _rows(f"{name}, {conditions}", "s", ours, _median, some, peers)
    name = "probe, port-restricted, 10 % loss"
    found += _rows(name, "s", PROBE, _median, restricted, peers)
    found += _rows(f"{name}, slowest", "s", PROBE, _slowest, restricted, peers)
    for conditions, some in (("clean", clean), ("10 % loss", lossy)):
        unit = f"of {sum(a.tool == PROBE for a in some)}"
        for grade, words in _GRADES.items():
            found += _rows(f"{words}, {conditions}", unit, PROBE, _count(grade), some, peers)
    return [*found, *_rows("datagrams sent, clean", "", PROBE, _packets, clean, peers)]


_GRADES = {
    Grade.RIGHT: "right (more is better)",
    Grade.WRONG: "wrong",
    Grade.OPEN: "no answer",
}

Measure = Callable[[Sequence[Answer]], float]


def _rows(
    name: str,
    unit: str,
    ours: str,
    measure: Measure,
    answers: Sequence[Answer],
    peers: dict[str, str],
) -> list[Row]:
    """Return a row for each peer."""

    def of(tool: str) -> float:
        return measure([a for a in answers if a.tool == tool])

    return [Row(name, unit, of(ours), of(tool), full) for tool, full in peers.items()]


def _median(answers: Sequence[Answer]) -> float:
    return statistics.median(a.seconds for a in answers)


def _slowest(answers: Sequence[Answer]) -> float:
    return max(a.seconds for a in answers)


def _packets(answers: Sequence[Answer]) -> float:
    return statistics.median(a.packets for a in answers)


def _count(grade: Grade) -> Measure:
    return lambda answers: sum(a.grade is grade for a in answers)
