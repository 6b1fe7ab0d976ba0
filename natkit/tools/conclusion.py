"""What the findings come to: one verdict over both IP versions, and advice that fits."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace

from natkit.nat.addresses import is_local
from natkit.nat.behaviour import Mapping, Measured
from natkit.nat.discovery import Findings
from natkit.nat.layers import NatLayers, Surroundings
from natkit.nat.verdict import (
    ADD_IPV6,
    ASK_FOR_AN_ADDRESS,
    MAP_A_PORT,
    USE_PORT_MAPPING,
    Behaviour,
    Reach,
    Verdict,
    judge,
    rfc3489_name,
)
from natkit.network import Family
from natkit.tools.extras import Extras
from natkit.tools.fallback import FallbackReport


@dataclass(frozen=True, slots=True)
class FamilyReport:
    """One IP version: what the discovery found, and what was asked for besides."""

    findings: Findings
    extras: Extras


ASK_OUTSIDE = "ask a server on the internet: --server HOST[:PORT], or none for the public ones"

Families = Dictionary[Family, FamilyReport | str]
"""IP version -> its report, or the reason why there is none."""


def conclude(families: Families, fallback: FallbackReport) -> tuple[Verdict, str | None]:
    """Return the verdict over all IP versions, and RFC 3489's name for the IPv4 side.

    IPv4 decides, since most peers have nothing else; IPv6 adds what it makes possible. Where only
    IPv6 was asked for, it is judged alone.
    """
    inner = [ip for f in Family for ip in _seen_from_inside(families.get(f))]
    if inner:
        return _nothing_about_the_internet(inner[0]), None
    ipv4, ipv6 = (_behaviour(families.get(f), fallback) for f in (Family.IPV4, Family.IPV6))
    if ipv4 is None:
        return _by_ipv6_alone(ipv6, families.get(Family.IPV4)), None
    return _with_ipv6(judge(ipv4), ipv6), _alias(families.get(Family.IPV4))


def _seen_from_inside(report: FamilyReport | str | None) -> list[str]:
    """Return the mapped addresses that no server on the internet would see."""
    if not isinstance(report, FamilyReport):
        return []
    return [mapped.ip for _, mapped in report.findings.mapped if is_local(mapped.ip)]


def _nothing_about_the_internet(ip: str) -> Verdict:
    return Verdict(
        Reach.UNKNOWN,
        f"A server saw the private address {ip}, so it is in a network of your own or of your "
        "provider. What was measured holds up to there, and says nothing about calls beyond.",
        improve=(ASK_OUTSIDE,),
    )


def advise(verdict: Verdict, layers: Measured[NatLayers], seen: Surroundings) -> Verdict:
    """Fit the advice on port mapping to the NATs that are there."""
    if MAP_A_PORT not in verdict.improve:
        return verdict
    if layers.value is not None and layers.value.at_least > 1:
        better = ASK_FOR_AN_ADDRESS
    elif any(ip == seen.mapped for _, ip in seen.wan):
        better = USE_PORT_MAPPING.format(protocol=next(name for name, _ in seen.wan))
    else:
        return verdict
    hints = tuple(better if hint == MAP_A_PORT else hint for hint in verdict.improve)
    return replace(verdict, improve=hints)


def _by_ipv6_alone(ipv6: Behaviour | None, no_ipv4: FamilyReport | str | None) -> Verdict:
    """Judge IPv6. Args: no_ipv4: why there is no IPv4; None: it was not asked for."""
    if ipv6 is None or not ipv6.udp:
        return judge(ipv6 if ipv6 is not None else Behaviour(None, None, None, None))
    verdict = judge(ipv6)
    if no_ipv4 is None:
        return replace(verdict, summary=f"Over IPv6: {verdict.summary}")
    limit = f"Without IPv4 ({no_ipv4}) this holds only for peers that have IPv6. "
    direct = _no_better_than_some(verdict.direct)
    return replace(verdict, direct=direct, summary=limit + verdict.summary)


def _no_better_than_some(direct: Reach) -> Reach:
    return Reach.SOME if direct in (Reach.EVERYONE, Reach.MOST) else direct


def _with_ipv6(verdict: Verdict, ipv6: Behaviour | None) -> Verdict:
    if ipv6 is None or not ipv6.udp or verdict.direct is Reach.EVERYONE:
        return verdict
    over_ipv6 = judge(ipv6)
    if over_ipv6.direct not in (Reach.EVERYONE, Reach.MOST):
        return verdict
    improved = tuple(hint for hint in verdict.improve if hint != ADD_IPV6)
    worse = verdict.direct in (Reach.NONE, Reach.UNKNOWN)
    direct = Reach.SOME if worse else verdict.direct
    return replace(
        verdict,
        direct=direct,
        summary=verdict.summary + " Peers that have IPv6, too, get a direct call over it.",
        improve=improved,
    )


def _behaviour(report: FamilyReport | str | None, fallback: FallbackReport) -> Behaviour | None:
    """Return what counts for a call; None: this IP version is not there at all."""
    if not isinstance(report, FamilyReport):
        return None
    found = report.findings
    udp = True if found.udp_passes else _blocked(found, fallback)
    return Behaviour(udp, _steady(found), found.filtering.value, found.nat.value)


def _blocked(found: Findings, fallback: FallbackReport) -> bool | None:
    """Return False (no UDP) only if TCP gets through and no server of several speaks UDP to us.

    A single server may itself be without UDP.
    """
    servers = {server.address.ip for server in found.servers}
    streams = bool(fallback.tcp.value or fallback.tls.value)
    return False if streams and len(servers) > 1 else None


def _steady(found: Findings) -> bool | None:
    if found.mapping.value is not None:
        return found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
    return False if found.depends else None


def _alias(report: FamilyReport | str | None) -> str | None:
    if not isinstance(report, FamilyReport):
        return None
    found = report.findings
    if not found.reachable:
        return None
    return rfc3489_name(found.nat.value, found.mapping.value, found.filtering.value)
