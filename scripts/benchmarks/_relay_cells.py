"""What the relay benchmark measures: loads, cells, and the file that keeps them as they come."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 0
"""The rate of a load that is as much as the generator can send."""


class Load(NamedTuple):
    """What is sent.

    Attributes:
        size:      bytes of a payload.
        direction: "up", from clients to peers; "down"; or "both", in equal parts.
        rate:      packets a second in all; LIMIT.
    """

    calls: int
    size: int
    direction: str
    rate: int

    def __str__(self) -> str:
        return f"{self.calls:,} calls, {self.size:,} bytes, {self.direction}, {self.pace}"

    @property
    def pace(self) -> str:
        """The rate in words."""
        return f"{self.rate:,}/s" if self.rate else "the limit"


class Cell(NamedTuple):
    """What became of one load at one contender.

    Attributes:
        sent, arrived:      packets.
        offered, delivered: packets a second.
        lost:               percent.
        server_us:          microseconds of the server's CPU for each that arrived; None: no server.
        machine_us:         microseconds of all CPUs for each that arrived.
        sender_us:          microseconds of the generator's sender for each that was sent. What the
                            kernel or a program in it does with a packet is in it: on veth, that
                            is all done before sendmmsg(2) returns.
        p50_us, p99_us:     latency, microseconds; None: nothing arrived.
        rss, pss:           kilobytes of the server; None: no server.
        in_kernel:          percent of what the server forwarded by its program; None: it has none.
    """

    contender: str
    load: Load
    sent: int
    arrived: int
    offered: float
    delivered: float
    lost: float
    server_us: float | None
    machine_us: float | None
    sender_us: float | None
    p50_us: float | None
    p99_us: float | None
    rss: int | None
    pss: int | None
    in_kernel: float | None


MEASURED = Cell._fields[2:]


@dataclass
class Run:
    """Cells of one preset, as far as it has come.

    Attributes:
        machine:  what it ran on.
        versions: of the contenders.
        busy:     percent of all CPUs that others took, before and after.
        search:   cells that were measured to find `onset`.
        onset:    the rate at which a contender starts to lose packets, by its name.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    search: list[Cell] = field(default_factory=list)
    onset: dict[str, int] = field(default_factory=dict)

    def of(self, contender: str, load: Load) -> list[Cell]:
        """Return what was measured of it."""
        return [cell for cell in self.cells if (cell.contender, cell.load) == (contender, load)]

    def median(self, contender: str, load: Load, what: str) -> float | None:
        """Return the median of one of MEASURED; None: it was not measured."""
        return median(getattr(cell, what) for cell in self.of(contender, load))


HEADS = ("machine", "versions", "busy", "onset")
"""Of a run; the rest are its cells."""


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of those that are known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


class Store:
    """A JSON file with a run for each preset, written anew after each cell.

    Args: path: None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        there = path is not None and path.exists()
        found = json.loads(path.read_text(encoding="utf-8")) if path and there else {}
        self.runs = {name: _run(stored) for name, stored in found.get("runs", {}).items()}

    def save(self) -> None:
        """Write it; whoever reads meanwhile finds the old one or the new one."""
        if self._path is not None:
            beside = self._path.with_suffix(".new")
            beside.write_text(self.as_json(), encoding="utf-8")
            beside.replace(self._path)

    def as_json(self) -> str:
        """Return the file's text: a line for each cell."""
        runs = [f"{json.dumps(name)}: {_stored(run)}" for name, run in self.runs.items()]
        return '{"bench": "relay", "runs": {\n' + ",\n".join(runs) + "\n}}\n"


def _stored(run: Run) -> str:
    heads = [f'"{name}": {json.dumps(getattr(run, name), ensure_ascii=False)}' for name in HEADS]
    lists = [
        f'"{name}": [\n' + ",\n".join(json.dumps(_flat(cell)) for cell in cells) + "\n]"
        for name, cells in (("search", run.search), ("cells", run.cells))
    ]
    return "{" + ",\n".join(heads + lists) + "}"


def _flat(cell: Cell) -> dict[str, Any]:
    measured = {name: _short(getattr(cell, name)) for name in MEASURED}
    return {"contender": cell.contender, **cell.load._asdict(), **measured}


def _run(stored: dict[str, Any]) -> Run:
    heads = {name: stored[name] for name in HEADS}
    cells, search = ([_cell(one) for one in stored[name]] for name in ("cells", "search"))
    return Run(cells=cells, search=search, **heads)


def _cell(stored: dict[str, Any]) -> Cell:
    load = Load(*(stored[name] for name in Load._fields))
    return Cell(stored["contender"], load, *(stored[name] for name in MEASURED))


def _short(value: float | None) -> float | None:
    """Return four significant digits of it."""
    if value is None or isinstance(value, int):
        return value
    return None if math.isnan(value) else float(f"{value:.4g}")


def machine() -> dict[str, Any]:
    """Say what this runs on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpus": os.cpu_count(),
        "model": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
