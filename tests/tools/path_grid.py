"""Calls between every two kinds of NAT in the simulator, with a probe of each kind, explained.

`python -m tests.tools.path_grid` writes the paragraphs to path_grid.txt, for people to read.
"""

from __future__ import annotations

import re
import textwrap
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path
from random import Random
from typing import Any

from natkit.lab import sim
from natkit.lab.call import Outcome, call
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.topology import World
from natkit.network import Family
from natkit.tools.path_explanation import explain_path
from natkit.tools.path_values import PathExplanation
from natkit.tools.probe import Options, ProbeReport, probe

GOLDEN = Path(__file__).with_name("path_grid.txt")

HEAD = """\
What natkit says of the path of each call in the matrix: first with probes and ICE reports of both
sides, then with A's ICE report alone. Ports and counts are left out.

Written by: python -m tests.tools.path_grid
"""

CELLS = list(combinations_with_replacement(HOMES, 2))

A, B = "A", "B"


@cache
def outcome(a: str, b: str) -> Outcome:
    """Return how the call between two kinds went."""

    async def main(world: World) -> Outcome:
        return await call(world, seed=0)

    return sim.run(two_homes(HOMES[a], HOMES[b]), main, seed=0, debug=False)


@cache
def probed(kind: str) -> ProbeReport:
    """Return what a probe measures behind a kind of NAT, knowing nothing of how it was built."""

    async def main(world: World) -> ProbeReport:
        async with stun_servers(world):
            options = Options(STUN_SERVERS, (Family.IPV4,))
            return await probe(world.network("alice"), options, randomness=Random(7).randbytes)

    return sim.run(two_homes(HOMES[kind], HOMES["none"]), main, seed=7, debug=False)


def explained(
    a: str, b: str, *, measured: bool, both: bool = True, seen_by: str = A
) -> PathExplanation:
    """Explain the call between A behind `a` and B behind `b`.

    Args:
        measured: both sides' probes are known.
        both:     both sides' ICE reports are.
        seen_by:  whose report it is that is explained.
    """
    reports, names, kinds = outcome(a, b).reports, (A, B), (a, b)
    if seen_by == B:
        reports, names, kinds = reports[::-1], names[::-1], kinds[::-1]
    known: dict[str, Any] = {}
    if measured:
        known = {"local_nat": probed(kinds[0]), "remote_nat": probed(kinds[1])}
    if both:
        known["remote_report"] = reports[1]
    return explain_path(reports[0], names=names, **known)


def readable(paragraph: str) -> str:
    """Return a paragraph without what changes with every draw: ports, and how many pairs worked."""
    text = re.sub(r"((?:203\.0\.113|10\.0\.[12])\.\d+):(?!3480)\d+", r"\1:…", paragraph)
    text = re.sub(r"([AB]) nominated it[^.]*\.", r"\1 nominated it.", text)
    return re.sub(r"sent \d+ checks", "sent … checks", text)


def reviewed() -> dict[tuple[str, str], str]:
    """Return the path of each cell ("direct", "relayed") as the document has it, without a call."""
    heading = re.compile(r"^== A: (\S+), B: (\S+): (\S+) ==$", re.MULTILINE)
    return {(a, b): path for a, b, path in heading.findall(GOLDEN.read_text(encoding="utf-8"))}


def document() -> str:
    """Return every cell's path and paragraphs."""
    parts = [HEAD]
    for a, b in CELLS:
        parts.append(f"== A: {a}, B: {b}: {outcome(a, b).path} ==\n")
        for measured in (True, False):
            text = explained(a, b, measured=measured, both=measured).paragraph
            parts.append(textwrap.fill(readable(text), 100, break_on_hyphens=False) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    GOLDEN.write_text(document(), encoding="utf-8")
