"""What a program on natkit's ICE tells a Calto server of a call's way: a PathReport.

docs/calto-protocol.md has its shape, which is that of a browser's statistics; natkit's own report
(natkit.ice/1) knows the same and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from natkit.aiortc import RTCIceTransport, RTCPeerConnection

Json = dict[str, Any]

MOST = 100
"""Pairs, and candidates of a side, in one report."""

NO_CONTACT = 701
"""What browsers call a server that does not answer (RTCPeerConnectionIceErrorEvent)."""


def ice_of(connection: RTCPeerConnection) -> Json:
    """Return all that is known about a call's candidates and paths: schema natkit.ice/1."""
    (transceiver,) = connection.getTransceivers()
    ice: Any = transceiver.sender.transport.transport
    assert isinstance(ice, RTCIceTransport)  # noqa: S101 - natkit's peer connection has no other
    return ice.gatherer.connection.report()


def path_report(ice: Json) -> Json:
    """Return the PathReport of an ICE report, without quality."""
    selected = next((pair for pair in ice["pairs"] if pair["number"] in ice["selected"]), None)
    rows = sorted(ice["pairs"], key=lambda pair: pair is not selected)[:MOST]
    pairs = [_pair(pair, ice, pair is selected) for pair in rows]
    local = None if selected is None else pairs[0]["local"]
    return {
        "kind": _kind(ice, selected),
        "local": local,
        "remote": None if selected is None else pairs[0]["remote"],
        "relay": None if selected is None else _relay_of(selected["local"], ice["local"]),
        "encryption": "DTLS-SRTP",
        "pairs": pairs,
        "search": {
            "role": ice["role"],
            "local": [_candidate(found) for found in (*ice["local"], *_seen_again(ice))][:MOST],
            "remote": [_candidate(found) for found in ice["remote"][:MOST]],
            "asked": _asked(ice),
        },
    }


def _kind(ice: Json, selected: Json | None) -> str:
    if selected is None:
        return "failed" if ice["state"] == "failed" else "unknown"
    return "relayed" if selected["relayed"] else "direct"


def _pair(pair: Json, ice: Json, selected: bool) -> Json:
    # As the other side sees it, as browsers tell it; a relay is what it is.
    ours = pair["local"] if pair["local"].startswith("relay") else pair["seen_as"] or pair["local"]
    return {
        "local": _end(ours, ice["local"]),
        "remote": _end(pair["remote"], ice["remote"]),
        "state": "selected" if selected else pair["state"],
        "rtt_ms": pair["round_trip_ms"],
        "priority": pair["priority"],
        "nominated": pair["nominated"],
        "sent": pair["checks_sent"],
        "answered": pair["checks_answered"],
        "received": pair["checks_received"],
    }


def _end(text: str, known: list[Json]) -> Json:
    """Return the candidate that a pair names: "srflx 203.0.113.7:4000"."""
    end, tcp = _parsed(text)
    return {**end, "protocol": "tcp" if tcp else _protocol(_named(text, known))}


def _parsed(text: str) -> tuple[Json, bool]:
    kind, where, *tcp = text.split(" ")
    address, _, port = where.rpartition(":")
    return {"type": kind, "address": address.strip("[]"), "port": int(port)}, bool(tcp)


def _named(text: str, known: list[Json]) -> Json:
    """Return the candidate that a text names; empty: it is not among them any more."""
    end, _ = _parsed(text)
    return next((it for it in known if all(it[key] == end[key] for key in end)), {})


def _candidate(found: Json) -> Json:
    related = found["related"]
    hidden = related is None or not related[1]
    told = {name: found[name] for name in ("type", "address", "port", "priority")}
    told |= {"protocol": _protocol(found), "url": _url(found.get("server"))}
    return told | {"related": None if hidden else {"address": related[0], "port": related[1]}}


def _relay_of(text: str, known: list[Json]) -> str | None:
    found = _named(text, known)
    return _url(found.get("server")) if text.startswith("relay") else None


def _seen_again(ice: Json) -> Iterator[Json]:
    """Yield what other STUN servers saw that made no candidate, since one was there already."""
    first = {(it["address"], it["port"]): it for it in ice["local"] if it["type"] == "srflx"}
    for asked in ice["inquiries"]:
        found = _parsed(asked["found"])[0] if asked["kind"] == "stun" and asked["found"] else {}
        known = first.get((found.get("address"), found.get("port")))
        if known is not None and known["server"] != asked["server"]:
            yield {**known, "server": asked["server"]}


def _protocol(found: Json) -> str:
    """Return how packets leave this host: for a relayed candidate, the way to the relay."""
    over = (found.get("server") or "").partition(" over ")[2]
    return str(over or found.get("transport", "udp"))


def _url(server: str | None) -> str | None:
    """Return the URI of a server as natkit names it; None: it is none ("the peer at …")."""
    if server is None or server.startswith("stun:"):
        return server
    where, over, transport = server.partition(" over ")
    if not over or " " in where:
        return None
    scheme = "turns" if transport == "tls" else "turn"
    return f"{scheme}:{where}?transport={'udp' if transport == 'udp' else 'tcp'}"


def _asked(ice: Json) -> list[Json]:
    """Return the servers that were asked; the error of each that told nobody anything."""
    asked: dict[str, int | None] = {}
    for row in ice["inquiries"]:
        url = _url(row["server"]) if row["kind"] in ("stun", "turn") else None
        if url is not None:
            failed = row["error"] is not None and asked.get(url, 0) is not None
            asked[url] = (row["code"] or NO_CONTACT) if failed else None
    return [{"url": url, "error": error} for url, error in list(asked.items())[:50]]
