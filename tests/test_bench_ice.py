"""The ICE benchmark measures both libraries, and natkit keeps what it promises."""

from __future__ import annotations

import pytest

from scripts.benchmarks import ice


@pytest.mark.interop
@pytest.mark.needs("root", "nft", "ip")
def test_connecting_takes_a_quarter_of_aioices_time_and_a_dead_server_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ice, "PAIRS", 20)
    rows = {row.name: row for row in ice.rows(rounds=5)}
    connect = rows["connect, host to host"]
    assert connect.ours <= connect.peer / 4
    assert rows["first candidate"].ours < 5
    dead = rows["gather, a dead server (and for natkit one that answers)"]
    assert dead.ours < 100
    assert dead.peer > 4000
    silent = rows["gather, a dead interface"]
    assert silent.ours < 100
    assert silent.peer > 4000
    for name in ("CPU to connect, a side", "CPU a connectivity check", "CPU a consent check"):
        assert 10 < rows[name].ours < 1.5 * rows[name].peer
    beside = rows.pop("gather, a dead interface and server beside live ones")
    assert beside.peer_name == "live ones alone"
    assert all(row.peer_name.startswith("aioice 0.") for row in rows.values())
