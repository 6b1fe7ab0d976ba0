"""The benchmark of Calto's server, on a load that takes no time: does it measure both servers?"""

from __future__ import annotations

import pytest

from scripts.benchmarks import calto
from scripts.benchmarks._calto_server import PEER


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.needs("npm")
def test_both_servers_pass_messages_on_and_set_up_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"SOCKETS": 120, "FIRST": 20, "PAIRS": 2, "IDLE": 0.2, "PASSING": 0.5}
    few |= {"SETTING_UP": 1.0, "SET_UPS": 20, "IN_TURN": 20}
    for name, value in few.items():
        monkeypatch.setattr(calto, name, value)
    rows = {row.name: row for row in calto.rows(rounds=1)}
    assert len(rows) == len(calto.Found._fields)
    assert all(row.peer_name.startswith(PEER) for row in rows.values())
    for name in ("a message passed on, p99", "a message at 20 set-ups/s, p99", "a set-up, p99"):
        assert 0.01 < rows[name].ours < 10_000
        assert 0.01 < rows[name].peer < 10_000
    memory = rows["memory of each of 120 sockets, RSS"]
    assert 1 < memory.ours < 100
    assert 1 < memory.peer < 100
