"""The relay benchmark, on a load that takes no time: does it measure both servers?"""

from __future__ import annotations

import pytest

from scripts.benchmarks import relay


@pytest.mark.interop
@pytest.mark.needs("turnserver")
def test_both_servers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, little in {"DURATION": 0.2, "FULL": 2000, "HELD": 40}.items():
        monkeypatch.setattr(relay, name, little)
    rows = {row.name: row for row in relay.rows(rounds=1)}
    assert len(rows) == len(relay.NAMES)
    for row in rows.values():
        assert row.peer_name.startswith("coturn 4.")
    cpu = rows["CPU a packet, 2,000 packets/s"]
    assert 0.1 < cpu.ours < 1000
    assert 0.1 < cpu.peer < 1000
    allocation = rows["CPU an allocation, 401 and channel included"]
    assert 1 < allocation.ours < 100_000
    assert 1 < allocation.peer < 100_000
