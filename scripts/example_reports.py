"""Write the ICE reports of a simulated call to docs/examples, and excerpts to the page on them.

The page marks where an excerpt of A's report goes, by list, by what its entries have, and members:

    <!-- report: inquiries kind=stun: server base found -->
    (a code block, replaced by this script)
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from natkit.lab import sim
from natkit.lab.call import Outcome, call
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.topology import World

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = DOCS / "examples"
PAGE = DOCS / "reading-an-ice-report.md"

MARK = re.compile(
    r"(?P<mark><!-- report: (?P<list>\w+) (?P<has>\w+)=(?P<value>\w+): (?P<members>[\w ]+) -->)\n"
    r"```json\n.*?```\n",
    re.S,
)


def examples() -> dict[Path, str]:
    """Return what the files hold: A is behind a port-restricted NAT, B behind a symmetric one."""

    async def main(world: World) -> Outcome:
        return await call(world, seed=0, transports=("udp",))

    made = sim.run(two_homes(HOMES["port-restricted"], HOMES["symmetric"]), main, seed=0)
    return {
        EXAMPLES / f"relayed-{side}.json": lines(report)
        for side, report in zip("ab", made.reports, strict=True)
    }


def lines(report: dict[str, Any]) -> str:
    """Return a report as JSON with a line for each candidate, inquiry and pair."""

    def member(value: Any) -> str:
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            return json.dumps(value)
        return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"

    members = (f"  {json.dumps(name)}: {member(value)}" for name, value in report.items())
    return "{\n" + ",\n".join(members) + "\n}\n"


def refreshed(page: str, report: dict[str, Any]) -> str:
    """Return the page with every excerpt made anew."""

    def excerpt(found: re.Match[str]) -> str:
        entries = [e for e in report[found["list"]] if e[found["has"]] == found["value"]]
        shown = [{name: e[name] for name in found["members"].split()} for e in entries]
        text = "\n".join(map(json.dumps, shown))
        return f"{found['mark']}\n```json\n{text}\n```\n"

    return MARK.sub(excerpt, page)


if __name__ == "__main__":
    for path, text in examples().items():
        path.write_text(text, encoding="utf-8")
    told = json.loads((EXAMPLES / "relayed-a.json").read_text(encoding="utf-8"))
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8"), told), encoding="utf-8")
