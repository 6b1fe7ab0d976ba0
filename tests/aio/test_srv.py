"""SRV look-ups, against a resolver that answers from a table."""

from __future__ import annotations

from typing import Any

import dns.asyncresolver
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import pytest

from natkit.aio.srv import look_up_srv
from natkit.stun.uri import SrvRecord


def answering(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    async def resolve(name: str, kind: dns.rdatatype.RdataType, **_: Any) -> list[dns.rdata.Rdata]:
        if not texts:
            raise dns.resolver.NXDOMAIN
        return [dns.rdata.from_text(dns.rdataclass.IN, kind, text) for text in texts]

    monkeypatch.setattr(dns.asyncresolver, "resolve", resolve)


async def test_records_come_back_as_values(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "10 5 3479 a.example.org.", "20 0 3478 b.example.org.")
    assert await look_up_srv("_stun._udp.example.org") == (
        SrvRecord(10, 5, 3479, "a.example.org"),
        SrvRecord(20, 0, 3478, "b.example.org"),
    )


async def test_a_root_target_means_that_there_is_no_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, "0 0 0 .")
    assert await look_up_srv("_stun._udp.example.org") == ()


async def test_an_unknown_name_has_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    assert await look_up_srv("_stun._udp.nobody.invalid") == ()
