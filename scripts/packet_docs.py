"""Draw the packets of calls between NATs into the documents that show them.

A document marks where a drawing goes:

    <!-- packets: home symmetric -->
    (a code block, replaced by this script)

and `<!-- matrix -->` for the table of who can call whom.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from natkit.lab.sim import Direction, Record
from natkit.wire import TransportAddress
from scripts.calls import NAT_A, NAT_B, STUN, Call, Packet, call

TARGET = Path(__file__).parent.parent / "docs" / "why-two-symmetric-nats.md"

LANES = ("alice", "NAT A", "stun", "NAT B", "bob")
PITCH = 22
"""Columns from one lane to the next; fits "A:50000 to S:3478" and an arrow around it."""
MARGIN = 6
"""Columns left of the first lane, for the time in milliseconds."""

LETTERS = {NAT_A: "A", NAT_B: "B", STUN.ip: "S"}

KINDS = (
    "full-cone",
    "address-restricted",
    "home",
    "adm-apdf",
    "symmetric-eif",
    "symmetric-adf",
    "sequential",
    "symmetric",
)
"""Scenarios whose NATs call each other in the matrix."""


def diagram(a: str, b: str) -> str:
    """Return the packets of a call between the NATs of scenarios `a` and `b`, one a line."""
    made = call(a, b)
    lines = [_heads(a, b), _lanes()]
    for packet in made.packets:
        lines += _drawn(packet)
    return "\n".join([*lines, _lanes(), "", _outcome(made)])


def _heads(a: str, b: str) -> str:
    behind = {"NAT A": f"NAT A ({a})", "NAT B": f"NAT B ({b})"}
    line = " " * (MARGIN + PITCH * len(LANES))
    for index, lane in enumerate(LANES):
        title = behind.get(lane, lane)
        at = max(0, MARGIN + index * PITCH - len(title) // 2)
        line = line[:at] + title + line[at + len(title) :]
    return line.rstrip()


def _lanes() -> str:
    return " " * MARGIN + (" " * (PITCH - 1)).join("|" * len(LANES))


def _drawn(packet: Packet) -> list[str]:
    sent, ended = packet.steps[0], packet.steps[-1]
    row = list(f"{round(sent.time * 1000):>{MARGIN - 2}}".ljust(MARGIN) + _lanes()[MARGIN:])
    for step, onward in pairwise(packet.steps):
        _arrow(row, _lane(step.node), _lane(onward.node), _label(step, packet.kind))
    if not ended.dropped:
        return ["".join(row)]
    row[MARGIN + _lane(ended.node) * PITCH] = "X"
    why = ended.verdict.removeprefix("dropped: ")
    return ["".join(row), f"{' ' * MARGIN}{ended.node} drops it: {why}"]


def _label(step: Record, kind: str) -> str:
    """Return what stands on the arrow that leads away from a step: addresses on the internet."""
    on_the_internet = step.direction is Direction.OUTWARDS or step.node == "stun"
    return f"{_short(step.src)} to {_short(step.dst)}" if on_the_internet else kind


def _lane(node: str) -> int:
    return LANES.index(node)


def _short(address: TransportAddress) -> str:
    return f"{LETTERS[address.ip]}:{address.port}"


def _arrow(row: list[str], start: int, end: int, label: str) -> None:
    """Draw an arrow between two lanes, with the label in its middle."""
    left, right = sorted((start, end))
    width = abs(end - start) * PITCH - 1
    shaft = f" {label} ".center(width - 1, "-")
    text = f"{shaft}>" if end > start else f"<{shaft}"
    row[MARGIN + left * PITCH + 1 : MARGIN + right * PITCH] = text


def _outcome(made: Call) -> str:
    if made.direct:
        return "A check was answered: alice and bob talk directly."
    return "No check was answered: alice and bob need a relay."


def matrix() -> str:
    """Return the table of who can call whom, from a call between every two NATs."""
    width = max(map(len, KINDS))
    names = [f"{number} {kind}" for number, kind in enumerate(KINDS, 1)]
    head = " " * (width + 2) + "".join(f"{number:>8}" for number in range(1, len(KINDS) + 1))
    rows = [
        f"{name:<{width + 2}}" + "".join(f"{_word(a, b):>8}" for b in KINDS)
        for name, a in zip(names, KINDS, strict=True)
    ]
    return "\n".join([head, *rows])


def _word(a: str, b: str) -> str:
    return "direct" if call(a, b).direct else "-"


MARK = re.compile(r"(?P<mark><!-- (?P<what>packets: \S+ \S+|matrix) -->)\n```text\n.*?```\n", re.S)


def refreshed(document: str) -> str:
    """Return `document` with every drawing made anew."""
    return MARK.sub(_block, document)


def _block(found: re.Match[str]) -> str:
    what, *names = found["what"].split()
    body = matrix() if what == "matrix" else diagram(*names)
    return f"{found['mark']}\n```text\n{body}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(refreshed(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
