"""The JSON form of a probe: schema natkit.probe/1, described in docs/schema/probe-1.json."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Set
from enum import Enum
from typing import Any, TypeVar

from natkit.nat.addresses import is_local
from natkit.nat.behaviour import Measured
from natkit.nat.layers import NatLayers, Trace
from natkit.nat.survey import ServerReport
from natkit.network import Family
from natkit.tools.conclusion import FamilyReport
from natkit.tools.extras import Lifetime
from natkit.tools.gateway import MappingService
from natkit.tools.probe import ProbeReport
from natkit.wire import TransportAddress

T = TypeVar("T")
Json = dict[str, Any]

SCHEMA = "natkit.probe/1"

FAMILY_PROPERTIES = (
    "mapping",
    "filtering",
    "port_preservation",
    "port_allocation",
    "pooling",
    "alg",
    "hairpinning",
    "lifetime",
    "fragments",
)
"""What is measured for each IP version, in the order of the report."""


def to_json(report: ProbeReport, *, at: str | None = None) -> Json:
    """Return the report as values that `json` can write.

    Args: at: when the probe began, RFC 3339; None where only the lab's clock is known.
    """
    return {
        "schema": SCHEMA,
        "at": at,
        "verdict": {
            "direct": report.verdict.direct.value,
            "summary": report.verdict.summary,
            "needs_relay": list(report.verdict.needs_relay),
            "improve": list(report.verdict.improve),
            "rfc3489": report.rfc3489,
        },
        "families": {
            f"ipv{family.value}": _family(found) for family, found in report.families.items()
        },
        "layers": _measured(report.layers, _layers) | {"trace": _trace(report.trace)},
        "port_mapping": {
            "gateway": report.port_mapping.gateway,
            "pcp": _service(report.port_mapping.pcp),
            "nat_pmp": _service(report.port_mapping.nat_pmp),
            "upnp": _service(report.port_mapping.upnp),
        },
        "fallback": {
            "tcp": _measured(report.fallback.tcp, list),
            "tls": _measured(report.fallback.tls, list),
            "tcp_mapping": _measured(report.fallback.tcp_mapping),
        },
        "servers": [_server(server) for server in report.servers],
        "elapsed_ms": round(report.elapsed * 1000),
    }


def _measured(finding: Measured[T], convert: Callable[[T], Any] | None = None) -> Json:
    value: Any = finding.value
    if value is not None:
        value = convert(value) if convert is not None else _plain(value)
    return {
        "value": value,
        "status": finding.status.value,
        "reason": finding.reason,
        "evidence": list(finding.evidence),
    }


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _address(address: TransportAddress) -> Json:
    return {"address": address.ip, "port": address.port}


def _family(found: FamilyReport | str) -> Json:
    """Return one IP version; the same keys whether or not it could be probed."""
    if isinstance(found, str):
        unasked: Measured[Any] = Measured.not_measured(found)
        facts: Json = {
            "reachable": False,
            "nat": None,
            "reason": found,
            "local": None,
            "mapped": [],
        }
        step = {"port_allocation": _measured(unasked) | {"step": None}}
        return facts | {name: _measured(unasked) for name in FAMILY_PROPERTIES} | step
    findings, extras = found.findings, found.extras
    allocation = findings.port_allocation
    return {
        "reachable": findings.reachable,
        "nat": findings.nat.value,
        "reason": findings.nat.reason,
        "local": _address(findings.local) if findings.local is not None else None,
        "mapped": [
            _address(mapped) | {"server": str(server)} for server, mapped in findings.mapped
        ],
        "mapping": _measured(findings.mapping),
        "filtering": _measured(findings.filtering),
        "port_preservation": _measured(findings.port_preservation),
        "port_allocation": _measured(allocation, lambda found: found.pattern.value)
        | {"step": allocation.value.step if allocation.value is not None else None},
        "pooling": _measured(findings.pooling),
        "alg": _measured(findings.rewrites_payload),
        "hairpinning": _measured(extras.hairpinning),
        "lifetime": _measured(extras.lifetime, _lifetime),
        "fragments": _measured(extras.fragments),
    }


def _lifetime(found: Lifetime) -> Json:
    return {"alive_after_s": found.alive_after, "gone_after_s": found.gone_after}


def _layers(found: NatLayers) -> Json:
    return {
        "at_least": found.at_least,
        "at_most": found.at_most,
        "carrier_grade": found.carrier_grade,
    }


def _trace(trace: Trace) -> Json:
    return {
        "hops": [{"distance": hop.distance, "address": hop.reporter} for hop in trace.hops],
        "arrived": trace.arrived,
        "reason": trace.reason,
    }


def _service(service: MappingService) -> Json:
    return _measured(service.present) | {"external_address": service.external_ip.value}


def _server(server: ServerReport) -> Json:
    return {
        "name": server.name,
        "address": server.address.ip,
        "port": server.address.port,
        "rtt_ms": None if server.round_trip is None else round(server.round_trip * 1000, 1),
        "rfc5780": server.rfc5780,
        "software": server.software,
        "note": server.note or None,
    }


# -- redaction ------------------------------------------------------------------------------------


def redactions(report: ProbeReport) -> dict[str, str]:
    """Return what to replace so that a report can be shown in public.

    Every address but the servers' becomes one that still tells its kind: "public-1" for what means
    something on the internet, "private-1" for what only does at home. They are looked for in the
    whole report, since reasons and notes name addresses, too.
    """
    servers = {server.address.ip for server in report.servers}
    servers |= {f.server.other.ip for f in map(report.findings, Family) if f and f.server}
    return stand_ins(json.dumps(to_json(report), ensure_ascii=False), servers)


def stand_ins(text: str, keep: Set[str] = frozenset()) -> dict[str, str]:
    """Return a stand-in for every address in `text`, numbered as they come, but those to `keep`."""
    found: dict[str, str] = {}
    counts = {"public": 0, "private": 0}
    for ip in dict.fromkeys(_addresses(text)):
        if ip in keep:
            continue
        kind = "private" if is_local(ip) else "public"
        counts[kind] += 1
        found[ip] = f"{kind}-{counts[kind]}"
    return found


_LIKE_AN_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}|[0-9a-fA-F]*:[0-9a-fA-F:]+")


def _addresses(text: str) -> Iterator[str]:
    for candidate in _LIKE_AN_ADDRESS.findall(text):
        for ip in (candidate, candidate.removesuffix(":")):  # "2001:db8::1: no answer"
            with contextlib.suppress(ValueError):
                if not ipaddress.ip_address(ip).is_unspecified:
                    yield ip
                    break


def redact(text: str, replacements: dict[str, str]) -> str:
    """Replace the addresses in `text`, each only where it is not a part of a longer one."""
    for ip, stand_in in replacements.items():
        text = re.sub(_whole(ip), stand_in, text)
    return text


def _whole(ip: str) -> str:
    """Return the pattern of `ip` by itself: 10.0.0.1 is not in 10.0.0.10 nor in 110.0.0.1."""
    if ":" in ip:
        return rf"(?<![0-9a-fA-F:]){re.escape(ip)}(?![0-9a-fA-F]|:[0-9a-fA-F:])"
    return rf"(?<![0-9.]){re.escape(ip)}(?![0-9]|\.[0-9])"
