"""The ICE benchmark measures both libraries, and natkit keeps what it promises."""

from __future__ import annotations

import pytest

from scripts.benchmarks import ice


@pytest.mark.interop
def test_connecting_takes_a_quarter_of_aioices_time_and_a_dead_server_none():
    rows = {row.name: row for row in ice.rows(rounds=5)}
    connect = rows["connect, host to host"]
    assert connect.ours <= connect.peer / 4
    assert rows["first candidate"].ours < 5
    dead = rows["gather, a dead server (and for natkit one that answers)"]
    assert dead.ours < 100
    assert dead.peer > 4000
    assert all(row.peer_name.startswith("aioice 0.") for row in rows.values())
