"""The way a call went, in words, from the ICE reports of its two ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from natkit import Drop, explain_path

Report = Mapping[str, Any]


def explain(reports: tuple[Report, Report], nats: tuple[Any, Any]) -> str:
    """Say which path alice and bob, whose reports these are, have found, why, or why none.

    Args: nats: hers and his; None: not known.
    """
    return explain_path(
        reports[0],
        remote_report=reports[1],
        local_nat=nats[0],
        remote_nat=nats[1],
        names=("alice", "bob"),
    ).paragraph


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
