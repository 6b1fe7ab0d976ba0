"""The way a call went, in words, from the ICE reports of its two ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from natkit import Drop

Report = Mapping[str, Any]


def explain(report: Report, remote_report: Report) -> str:
    """Return a sentence or two on the path that `report`, alice's, has chosen, or on why not.

    The one place that turns reports into words: `natkit.explain_path` is to stand here.
    """
    selected = [pair for pair in report["pairs"] if pair["number"] in report["selected"]]
    if not selected:
        tried = len(report["pairs"])
        return f"No path: {report['reason'] or 'nothing answered'}; {tried} pairs were tried."
    (pair,) = selected[:1]
    local, remote = (pair["seen_as"] or pair["local"]).split(), pair["remote"].split()
    ours, theirs = _kind(local, report["local"]), _kind(remote, remote_report["local"])
    if ours == "relay":
        return f"Relayed at alice's side by {_server(report, local)}, to bob at {_address(remote)}."
    if theirs == "relay":
        return f"Relayed at bob's side by {_server(remote_report, remote)}."
    if ours == theirs == "host":
        return "Direct, in one network: both reach each other's own addresses."
    return f"Direct, through NAT: alice as {_address(local)}, bob as {_address(remote)}."


def _kind(words: Sequence[str], candidates: Iterable[Mapping[str, Any]]) -> str:
    """Return the type of a candidate; what its owner calls it counts more than what is seen."""
    known = [it["type"] for it in candidates if _address(words) == f"{it['address']}:{it['port']}"]
    return str(known[0]) if known else words[0]


def _server(report: Report, words: Sequence[str]) -> str:
    servers = [
        it["server"]
        for it in report["local"]
        if it["type"] == "relay" and _address(words) == f"{it['address']}:{it['port']}"
    ]
    return str(servers[0]) if servers and servers[0] else "a relay"


def _address(words: Sequence[str]) -> str:
    return words[-1]


def died(drops: Iterable[Drop]) -> list[dict[str, Any]]:
    """Return where datagrams ended, most first: node, why, packets, and the first of them."""
    found: dict[tuple[str, str], list[Drop]] = {}
    for drop in drops:
        found.setdefault((drop.node, drop.why), []).append(drop)
    rows = [
        {
            "node": node,
            "why": why,
            "packets": len(those),
            "first_ms": round(1000 * those[0].at, 1),
            "example": f"{those[0].source} > {those[0].destination}",
        }
        for (node, why), those in found.items()
    ]
    return sorted(rows, key=lambda row: -row["packets"])


def died_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each place where datagrams ended."""
    return [
        _SENTENCES.get(row["why"], _ANY).format(
            whose=_whose(row["node"]),
            count="A datagram" if row["packets"] == 1 else f"{row['packets']} datagrams",
            example=row["example"],
            why=row["why"],
        )
        for row in rows
    ]


_SENTENCES = {
    "nobody has this address": "{count} that left {whose} went nowhere ({example}): outside of it"
    " nobody has the other home's own address.",
    "filtered, nobody inside asked this sender": "{count} ended at {whose} ({example}): nobody"
    " inside had sent anything to where this came from.",
    "no mapping": "{count} ended at {whose} ({example}): no socket inside has that port, or not"
    " any more.",
    "the firewall does not let this out": "{count} ended at {whose} ({example}): it lets no UDP"
    " out.",
}
"""The simulator's words, longer; others are told as they are."""

_ANY = "{count} ended at {whose} ({example}): {why}."


def _whose(node: str) -> str:
    kind, _, owner = node.partition("-")
    return {"r": f"{owner}'s NAT", "isp": f"the NAT of {owner}'s carrier"}.get(kind, node)
