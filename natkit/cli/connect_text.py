"""What `natkit connect` shows: the path being found, live on a terminal, then what came of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import click

from natkit.cli.ice_text import candidate_lines, pairs_table
from natkit.cli.path_text import in_words
from natkit.ice.report import Json
from natkit.machine import Seconds
from natkit.rendezvous.ping import PingAnswered, PingLost
from natkit.tools.connect import CallEvent, Stage, StageBegun
from natkit.tools.connect_report import Report
from natkit.tools.path_entries import PathKind
from natkit.tools.path_explanation import explain_path

_REFRESH: Seconds = 0.2
_LIVE_PAIRS = 12
"""Rows that fit any terminal; the report shows all."""

_LIVE = (Stage.CONNECTING, Stage.RESTING)


class Live:
    """The pairs, on a part of the terminal that is written over and over, and at last cleared.

    Args: report: returns what to show, natkit.ice/1.
    """

    def __init__(self, report: Callable[[], Json]) -> None:
        # Here because rich costs 40 ms, and most commands show nothing live.
        from rich import live
        from rich.console import Console

        self.title = ""
        self._report = report
        self._live = live.Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()
        self._task = asyncio.ensure_future(self._refresh())

    def stop(self) -> None:
        """Take it down, at once."""
        self._task.cancel()
        self._live.stop()

    async def _refresh(self) -> None:
        from rich.text import Text

        while True:
            report = self._report()
            pairs = pairs_table(report, _LIVE_PAIRS) if report["pairs"] else ""
            self._live.update(Text.from_ansi(f"\n{self.title}\n\n{pairs}"), refresh=True)
            await asyncio.sleep(_REFRESH)


class Screen:
    """Shows a call. Give `heard` to it, and close it at its end.

    Args:
        report: returns the call's report, natkit.ice/1.
        quiet:  print nothing on stdout, where JSON goes.
    """

    def __init__(self, report: Callable[[], Json], *, quiet: bool) -> None:
        self._report, self._quiet = report, quiet
        self._live: Live | None = None

    def heard(self, event: CallEvent) -> None:
        """Show what happens."""
        if isinstance(event, StageBegun):
            self._begin(event)
        elif not self._quiet:
            click.echo(_ping_line(event, self._report()))

    def close(self) -> None:
        """Take down what is live."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _begin(self, event: StageBegun) -> None:
        if event.stage not in _LIVE:
            self.close()
        elif self._live is None and sys.stderr.isatty():
            self._live = Live(self._report)
        if self._live is not None:
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            self._live.title = f"{event.stage}{again} …"
        if event.stage is Stage.PINGING and not self._quiet:
            click.echo(path_found(self._report()))


def path_found(report: Json) -> str:
    """Return the report of a call: candidates, pairs, the path, and why it is this one."""
    parts = [*candidate_lines(report), "", pairs_table(report), "", _path_line(report)]
    explanation = explain_path(report)
    if explanation.kind is not PathKind.UNDECIDED or explanation.missed:
        parts += ["", in_words(explanation), ""]
    return "\n".join(["", *parts])


def _path_line(report: Json) -> str:
    pair = _selected(report)
    if pair is None:
        return f"path: {click.style('none', fg='red')}"
    kind = (
        click.style("relayed", fg="yellow")
        if pair["relayed"]
        else click.style("direct", fg="green")
    )
    return f"path: {kind}, {pair['seen_as'] or pair['local']} to {pair['remote']}"


def _selected(report: Json) -> Json | None:
    return next((it for it in report["pairs"] if it["number"] in report["selected"]), None)


def _ping_line(event: PingAnswered | PingLost, report: Json) -> str:
    if not isinstance(event, PingAnswered):
        return f"ping {event.number + 1} " + click.style("lost", fg="red")
    pair = _selected(report)
    via = "" if pair is None else f" via {pair['remote']}"
    return f"pong {event.number + 1}{via} in {event.round_trip * 1000:.1f} ms"


def ended(report: Report) -> str:
    """Return the last lines: how the pings went, or why there is no path."""
    if report.pair is None:
        why = f"no path: {report.reason}"
        return f"{path_found(report.ice)}\n{why}. {_FAILED}"
    sent, trips = len(report.pings), report.round_trips
    lines = [f"{sent} sent, {len(trips)} answered, {_percent(sent - len(trips), sent)} lost"]
    if trips:
        low, mean, high = min(trips), sum(trips) / len(trips), max(trips)
        lines[0] += f"; round trip {low * 1000:.1f} / {mean * 1000:.1f} / {high * 1000:.1f} ms"
        lines[0] += " (min / mean / max)"
    if report.seconds is not None:
        lines.append(f"connected in {report.seconds * 1000:.0f} ms")
    if report.attempts > 1:
        lines[-1] += f"; {report.attempts} attempts at a direct path"
    return "\n".join(lines)


_FAILED = (
    "A relay would carry it (--turn, on one side); natkit probe, on both, says what stands between"
)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
