"""natkit's words for the way a call went, from what its clients measured (PathReport).

A client tells its pairs and its candidates as a browser knows them. Here they become what
`natkit.explain_path` reads, so that a call in a browser is explained as one in natkit's lab is.
What a browser cannot know (which check came first, how a NAT filters) stays unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from natkit import Behaviour, explain_path

Json = dict[str, Any]

SELECTED = "selected"
"""The state of the pair in use, in a PathReport."""

_NATS = {
    "open": Behaviour(udp=True, steady=True, filtering=None, nat=False),
    "cone": Behaviour(udp=True, steady=True, filtering=None, nat=True),
    "symmetric": Behaviour(udp=True, steady=False, filtering=None, nat=True),
    "unknown": None,
}
"""What the coarse kinds of the protocol say."""

NO_CONTACT = 701
"""The browser's code for a server that did not answer."""


def explanation(own: Json, other: Json | None, peer: str) -> str:
    """Return why a call went the way it went; empty: too little was told.

    Args:
        own:   PathReport of the side that is told.
        other: the peer's; None: there is none yet.
        peer:  its name.
    Raises: natkit.UsageError: the report contradicts itself.
    """
    if other is not None and other["search"] is None:
        other = None
    own = _uncovered(own, other)
    if own["search"] is None or not (own["kind"] == "failed" or _usable(own)):
        return ""
    return explain_path(
        ice_report(own),
        local_nat=_NATS[own["search"]["nat"]],
        remote_nat=_NATS[own["search"]["peer_nat"]],
        remote_report=None if other is None else ice_report(other),
        names=("this side", peer),
    ).paragraph


def ice_report(told: Json) -> Json:
    """Return what `explain_path` reads of natkit.ice/1 (docs/schema/ice-1.json)."""
    search = told["search"]
    state = "connected" if _selected(told) else "checking"
    whole = [pair for pair in told["pairs"] if pair["local"] and pair["remote"]]
    return {
        "schema": "natkit.ice/1",
        "state": "failed" if told["kind"] == "failed" else state,
        "reason": "",
        "inquiries": list(_inquiries(search)),
        "local": [_candidate(found, search) for found in search["local"]],
        "remote": [_candidate(found, search) for found in search["remote"]],
        "pairs": [_pair(number, pair, search["role"]) for number, pair in enumerate(whole, 1)],
        "selected": [n for n, pair in enumerate(whole, 1) if pair["state"] == SELECTED],
    }


def _selected(told: Json) -> list[Json]:
    ends = ("local", "remote")
    return [p for p in told["pairs"] if p["state"] == SELECTED and all(p.get(e) for e in ends)]


def _usable(told: Json) -> bool:
    """Tell whether it is known where the pair in use leads to.

    A browser hides the address of a peer that came from where nobody had expected it.
    """
    return any(
        pair["remote"].get("address") or pair["remote"]["type"] != "prflx"
        for pair in _selected(told)
    )


def _uncovered(own: Json, other: Json | None) -> Json:
    """Return a report with the address that a browser hides, where its owner tells it."""
    theirs = [] if other is None else [pair["local"] for pair in _selected(other)]

    def known(remote: Json) -> Json:
        return next((it for it in theirs if it.get("port") == remote.get("port")), {})

    def whole(pair: Json) -> Json:
        remote = pair["remote"]
        if pair["state"] != SELECTED or not remote or remote.get("address"):
            return pair
        address = known(remote).get("address")
        return pair if address is None else {**pair, "remote": {**remote, "address": address}}

    return {**own, "pairs": [whole(pair) for pair in own["pairs"]]}


def _address(found: Json) -> str:
    return found.get("address") or "hidden"


def _transport(found: Json) -> str:
    """Return how a candidate speaks; a relay speaks UDP, whichever way it is reached."""
    return "tcp" if found["type"] != "relay" and found.get("protocol") == "tcp" else "udp"


def _candidate(found: Json, search: Json) -> Json:
    related = found.get("related")
    server = _relay_server(found, search) if found["type"] == "relay" else found.get("url")
    return {
        "type": found["type"],
        "address": _address(found),
        "port": found.get("port", 0),
        "transport": _transport(found),
        "related": None if related is None else [related["address"], related["port"]],
        "priority": found.get("priority", 0),
        "server": server,
    }


def _text(found: Json) -> str:
    address = _address(found)
    where = f"[{address}]" if ":" in address else address
    tcp = " TCP active" if _transport(found) == "tcp" else ""
    return f"{found['type']} {where}:{found.get('port', 0)}{tcp}"


def _pair(number: int, pair: Json, role: str) -> Json:
    nominated = pair["nominated"]
    return {
        "number": number,
        "component": 1,
        "local": _text(pair["local"]),
        "seen_as": None,
        "remote": _text(pair["remote"]),
        "priority": pair["priority"],
        "state": "succeeded" if pair["state"] == SELECTED else pair["state"],
        "relayed": "relay" in (pair["local"]["type"], pair["remote"]["type"]),
        "nominated": nominated,
        "nominated_by": ("us" if role == "controlling" else "peer") if nominated else None,
        "checks_sent": pair["sent"],
        "checks_answered": pair["answered"],
        "checks_received": pair["received"],
        "round_trip_ms": pair["rtt_ms"],
        "changes": [],
        "notes": [],
    }


# Whom they asked.


def _inquiries(search: Json) -> Iterator[Json]:
    """Yield what came of each server; one that only told what was known is left out."""
    told = (found for found in search["local"] if found["type"] in ("srflx", "relay"))
    answered = [found for found in told if found.get("url") and _is_address(_address(found))]
    for found in answered:
        yield _inquiry(found["url"], found=found)
    heard = {found["url"] for found in answered}
    mapped = any(found["type"] == "srflx" for found in search["local"])
    for asked in search["asked"]:
        silent = asked["error"] is not None or not mapped
        if asked["url"] not in heard and (silent or asked["url"].startswith("turn")):
            yield _inquiry(asked["url"], error=asked["error"])


def _inquiry(url: str, found: Json | None = None, error: int | None = None) -> Json:
    is_turn = url.startswith("turn")
    return {
        "kind": "turn" if is_turn else "stun",
        "server": _server_text(url, found) if is_turn else url,
        # A relay is asked over a socket of its own.
        "base": None if is_turn or found is None else _base(found.get("related")),
        "found": None if found is None else _text(found),
        **_trouble(error),
    }


def _base(related: Json | None) -> str | None:
    """Return where a server was asked from; None: the browser hides it."""
    if related is None or not _is_address(related["address"]):
        return None
    return _text({"type": "host", **related}).removeprefix("host ")


def _is_address(text: str) -> bool:
    """Tell an address from a name, and from the zeros that hide one."""
    try:
        return not ipaddress.ip_address(text.partition("%")[0]).is_unspecified
    except ValueError:
        return False


def _trouble(error: int | None) -> Json:
    if error is None:
        return {"error": None, "cause": None}
    if error == NO_CONTACT:
        return {"error": "no answer", "cause": "timeout"}
    return {"error": f"it answered with error {error}", "cause": "refused"}


def _relay_server(found: Json, search: Json) -> str | None:
    """Return the server of a relayed candidate; Firefox does not tell it."""
    over = found.get("protocol", "udp")
    asked = (it["url"] for it in search["asked"] if it["url"].startswith("turn"))
    url = found.get("url") or next((it for it in asked if _over(it) == over), None)
    return None if url is None else _server_text(url, found)


def _server_text(url: str, found: Json | None) -> str:
    over = None if found is None else found.get("protocol")
    return f"{url.partition(':')[2].partition('?')[0]} over {over or _over(url)}"


def _over(url: str) -> str:
    if url.startswith("turns:"):
        return "tls"
    return "tcp" if url.endswith("transport=tcp") else "udp"
