"""What the NAT probes compared here say, read from their output and held against the truth."""

from __future__ import annotations

import json
import re
from enum import Enum

from natkit.errors import NatkitError, NetworkUnreachable
from natkit.lab.scenarios import Truth
from natkit.nat.behaviour import Filtering, Mapping
from natkit.nat.discovery import Findings
from natkit.nat.verdict import rfc3489_name


class Grade(Enum):
    """How an answer stands to the truth.

    WRONG: it says something that is not so. OPEN: it says nothing wrong, but not everything.
    """

    RIGHT = "right"
    WRONG = "wrong"
    OPEN = "open"


_VERDICT = r"(Endpoint Independent|Address Dependent|Address and Port Dependent) {}[!)]"

PYSTUN3_NAMES = {
    "Open Internet": "Open Internet",
    "Symmetric UDP Firewall": "Symmetric UDP Firewall",
    "Full Cone": "Full Cone",
    "Restric NAT": "Restricted Cone",
    "Restric Port NAT": "Port Restricted Cone",
    "Symmetric NAT": "Symmetric",
    "Blocked": "Blocked",
}
"""pystun3's spelling -> RFC 3489's name. What is missing here is its admission of a failure."""


def grade_natkit(output: str, truth: Truth) -> Grade:
    """Grade the output of `natkit probe --json`.

    Raises: NatkitError: it failed for a reason that is not the network's; nothing was measured.
    """
    try:
        report = json.loads(output)
    except ValueError:
        raise NatkitError("natkit probe printed no JSON", why=output[-500:]) from None
    if "error" in report:
        if report["error"]["type"] == NetworkUnreachable.__name__:
            return Grade.OPEN
        raise NatkitError("natkit probe failed", why=json.dumps(report["error"]))
    found = report["families"]["ipv4"]
    mapping, filtering = found["mapping"]["value"], found["filtering"]["value"]
    return _grade(
        None if mapping is None else Mapping(mapping),
        None if filtering is None else Filtering(filtering),
        truth,
    )


def grade_findings(findings: Findings, truth: Truth) -> Grade:
    """Grade what a discovery by itself found."""
    return _grade(findings.mapping.value, findings.filtering.value, truth)


def grade_natdiscovery(output: str, truth: Truth) -> Grade:
    """Grade the output of coturn's `turnutils_natdiscovery -m -f`."""
    mapping, filtering = (
        re.search(_VERDICT.format(kind), output) for kind in ("Mapping", "Filtering")
    )
    return _grade(
        None if mapping is None else Mapping(_hyphened(mapping[1])),
        None if filtering is None else Filtering(_hyphened(filtering[1])),
        truth,
    )


def grade_pystun3(output: str, truth: Truth) -> Grade:
    """Grade the output of `pystun3`: only RFC 3489's name is asked of it.

    RFC 3489 §5 calls every mapping that depends on the destination symmetric, so that counts as
    right whatever the filter behind it.
    """
    line = re.search(r"^NAT Type: (.+)$", output, re.MULTILINE)
    name = PYSTUN3_NAMES.get(line[1].strip()) if line is not None else None
    if name is None:
        return Grade.OPEN
    right = name == rfc3489_name(truth.nat, truth.mapping, truth.filtering)
    return Grade.RIGHT if right else Grade.WRONG


def _hyphened(words: str) -> str:
    return words.lower().replace(" ", "-")


def _grade(mapping: Mapping | None, filtering: Filtering | None, truth: Truth) -> Grade:
    pairs = ((mapping, truth.mapping), (filtering, truth.filtering))
    if any(found is not None and found is not real for found, real in pairs):
        return Grade.WRONG
    return Grade.RIGHT if all(found is not None for found, _ in pairs) else Grade.OPEN
