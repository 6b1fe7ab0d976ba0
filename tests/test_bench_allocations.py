"""The allocations' benchmark, on a load that takes no time: does it measure both servers?"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmarks import _limits, allocations, workers
from scripts.benchmarks._limits import can_limit
from scripts.benchmarks._relay_rate import SHARE


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure next to nothing."""
    monkeypatch.setattr(allocations, "HELD", 40)
    monkeypatch.setattr(allocations, "HURRIED", 300)


@pytest.mark.interop
@pytest.mark.needs("turnserver")
def test_both_servers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    monkeypatch.setattr(workers, "rows", lambda rounds: [])
    rows = {row.name: row for row in allocations.rows(rounds=1)}
    rates = allocations.RATES if can_limit() else allocations.RECKONED
    assert list(rows) == [name for name, _, _ in (*allocations.NAMES, *rates)]
    for row in rows.values():
        assert row.peer_name.startswith("coturn 4.")
    allocation = rows["CPU an allocation, 401 and channel included"]
    assert 1 < allocation.ours < 100_000
    assert 1 < allocation.peer < 100_000
    rate = rows[rates[0][0]]
    assert 10 < rate.ours < 100_000
    assert 10 < rate.peer < 100_000


@pytest.mark.interop
@pytest.mark.needs("turnserver")
def test_where_nothing_can_be_limited_the_rate_is_reckoned_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocations, "can_limit", lambda: False)
    few(monkeypatch)
    rows = {row.name: row for row in allocations.rows(rounds=1)}
    (name, _, _), cpu = allocations.RECKONED[0], rows["CPU an allocation, 401 and channel included"]
    assert "reckoned" in name
    assert rows[name].ours == pytest.approx(SHARE * 1e6 / cpu.ours)


@pytest.mark.slow
@pytest.mark.needs("root")
def test_a_limited_process_gets_no_more_than_its_share() -> None:
    if not can_limit():
        pytest.skip("no process can be limited here")
    burning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with _limits.limited([burning.pid], 0.5):
            before, began = cpu_of(burning.pid), time.monotonic()
            time.sleep(0.5)
            used = (cpu_of(burning.pid) - before) / (time.monotonic() - began)
    finally:
        burning.kill()
        burning.wait()
    assert used < 0.5 * 1.2


def cpu_of(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@pytest.mark.slow
@pytest.mark.skipif(not can_limit(), reason="processes cannot be limited here")
def test_two_workers_are_measured_beside_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, little in {"DURATION": 0.2, "FLOOD": 4000, "CALLS": 2}.items():
        monkeypatch.setattr(workers, name, little)
    rate, busy = workers.rows(rounds=1)
    assert 100 < rate.ours < 8000
    assert 100 < rate.peer < 8000
    assert 1 < busy.ours < 200
