"""The way a call went, in words, from the ICE reports of its two ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from natkit import Drop

Report = Mapping[str, Any]


def explain(
    report: Report,
    remote_report: Report | None = None,
    names: tuple[str, str] = ("alice", "bob"),
) -> str:
    """Return a sentence on the path that `report`, the first one's, has chosen, or on why not.

    The one place that turns reports into words: `natkit.explain_path` is to stand here.
    """
    selected = [pair for pair in report["pairs"] if pair["number"] in report["selected"]]
    if not selected:
        tried = len(report["pairs"])
        why = report["reason"] or "nothing answered"
        return f"{names[0]} and {names[1]} have no path: {why}; {tried} were tried."
    (pair,) = selected[:1]
    local, remote = (pair["seen_as"] or pair["local"]).split(), pair["remote"].split()
    theirs = report["remote"] if remote_report is None else remote_report["local"]
    talk = f"{names[0]} and {names[1]} talk"
    ends = f"{names[0]} at {local[1]}, {names[1]} at {remote[1]}"
    kinds = _kind(local, report["local"]), _kind(remote, theirs)
    if kinds[0] == "relay":
        return f"{talk} over {names[0]}'s relay, {_server(local, report['local'])}: {ends}."
    if kinds[1] == "relay":
        return f"{talk} over {names[1]}'s relay, {_server(remote, theirs)}: {ends}."
    if kinds == ("host", "host"):
        return f"{talk} directly, in one network: {ends}."
    return f"{talk} directly, through NAT: {ends}."


def _kind(words: Sequence[str], candidates: Iterable[Mapping[str, Any]]) -> str:
    """Return the type of a candidate; what its owner calls it counts more than what is seen."""
    return next((str(it["type"]) for it in _at(words, candidates)), words[0])


def _server(words: Sequence[str], candidates: Iterable[Mapping[str, Any]]) -> str:
    known = (it.get("server") for it in _at(words, candidates))
    return next((str(server) for server in known if server), "of which its own side knows more")


def _at(
    words: Sequence[str], candidates: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    return (it for it in candidates if f"{it['address']}:{it['port']}" == words[1])


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
