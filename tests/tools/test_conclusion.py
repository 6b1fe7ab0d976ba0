"""One verdict over both IP versions: blocked UDP is told from absent servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from natkit.nat.behaviour import Filtering, Mapping, Measured
from natkit.nat.discovery import Findings
from natkit.nat.survey import ServerReport
from natkit.nat.verdict import Reach
from natkit.network import Family
from natkit.tools.conclusion import FamilyReport, conclude
from natkit.tools.extras import Extras
from natkit.tools.fallback import FallbackReport
from natkit.wire import TransportAddress

UNKNOWN: Measured[Any] = Measured.not_measured("not asked")


def silent_server(ip: str) -> ServerReport:
    return ServerReport(ip, TransportAddress(ip, 3478), None, False, None, "no answer")


def silence(*servers: str) -> FamilyReport:
    """What a discovery finds when none of `servers` answers."""
    findings = Findings(
        reachable=False,
        udp_passes=False,
        nat=UNKNOWN,
        mapping=UNKNOWN,
        filtering=UNKNOWN,
        port_preservation=UNKNOWN,
        port_allocation=UNKNOWN,
        local=None,
        mapped=(),
        depends=False,
        pooling=UNKNOWN,
        rewrites_payload=UNKNOWN,
        server=None,
        servers=tuple(map(silent_server, servers)),
        all_external=(),
    )
    return FamilyReport(findings, Extras(UNKNOWN, UNKNOWN, UNKNOWN))


def streams(*ports: int) -> FallbackReport:
    tcp = Measured.found(ports, "answered") if ports else UNKNOWN
    return FallbackReport(tcp, UNKNOWN, UNKNOWN)


def direct(report: FamilyReport | str, fallback: FallbackReport) -> Reach:
    return conclude({Family.IPV4: report}, fallback)[0].direct


def test_several_silent_servers_beside_a_working_stream_mean_that_udp_is_blocked() -> None:
    assert direct(silence("192.0.2.1", "192.0.2.2"), streams(443)) is Reach.NONE


def test_a_single_silent_server_may_itself_be_without_udp() -> None:
    assert direct(silence("192.0.2.1"), streams(443)) is Reach.UNKNOWN
    assert direct(silence("192.0.2.1", "192.0.2.1"), streams(443)) is Reach.UNKNOWN


def test_silence_everywhere_means_nothing() -> None:
    assert direct(silence("192.0.2.1", "192.0.2.2"), streams()) is Reach.UNKNOWN


def test_an_ip_version_that_is_not_there_decides_nothing() -> None:
    assert direct("no route", streams(443)) is Reach.UNKNOWN


@pytest.mark.parametrize("ip", ["127.0.0.1", "192.168.1.5", "100.64.3.4"])
def test_a_server_inside_says_nothing_about_the_internet(ip: str) -> None:
    server = TransportAddress("192.0.2.1", 3478)
    findings = replace(
        silence("192.0.2.1").findings,
        reachable=True,
        udp_passes=True,
        mapped=((server, TransportAddress(ip, 40000)),),
        mapping=Measured.found(Mapping.ENDPOINT_INDEPENDENT, "seen"),
        filtering=Measured.found(Filtering.ENDPOINT_INDEPENDENT, "seen"),
    )
    report = FamilyReport(findings, Extras(UNKNOWN, UNKNOWN, UNKNOWN))
    verdict, alias = conclude({Family.IPV4: report}, streams())
    assert verdict.direct is Reach.UNKNOWN
    assert ip in verdict.summary
    assert alias is None


def test_the_name_of_rfc_3489_needs_an_answer() -> None:
    assert conclude({Family.IPV4: silence("192.0.2.1")}, streams())[1] is None
