"""`natkit explain`: a term, an error code or the path of a call in plain words, offline."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

from natkit.cli.common import Command, F, emit_json, json_option
from natkit.cli.render import table
from natkit.errors import UsageError
from natkit.tools.explain import Topic, find, topics

_HINT = "Give what `natkit.Connection.report()` returned, or a probe printed with --json"


class _Input(click.File):
    """A file to be read; "-" is standard input, where there is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Open it."""
        if value == "-" and sys.stdin is None:  # what Python makes of a closed descriptor 0
            self.fail("standard input is closed; give a file's name", param, ctx)
        return super().convert(value, param, ctx)


def _document(name: str, help_text: str) -> Callable[[F], F]:
    kind = _Input("r", encoding="utf-8")
    return click.option(f"--{name}", type=kind, metavar="FILE", help=help_text)


@click.command(cls=Command)
@click.argument("topic", nargs=-1)
@_document("report", "Explain the path of a call: an ICE report (JSON), - for stdin.")
@_document("peer-report", "With --report: the other side's ICE report.")
@_document("nat", "With --report: what `natkit probe --json` printed on this side.")
@_document("peer-nat", "With --report: what it printed on the other side.")
@click.option("-v", "--verbose", is_flag=True, help="With --report: list the pairs, too.")
@json_option
def explain(
    topic: tuple[str, ...],
    report: TextIO | None,
    peer_report: TextIO | None,
    nat: TextIO | None,
    peer_nat: TextIO | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Explain TOPIC: a term, an error code or a NAT type; without one, list the topics.

    The words need no quotes: `natkit explain symmetric nat`. With --report explain why a call takes
    the path it takes, from what `natkit.Connection.report()` returned.
    """
    if report is not None:
        if topic:
            raise UsageError("--report and a topic are two questions", hint="Ask one at a time")
        _path(report, peer_report, nat, peer_nat, verbose=verbose, as_json=as_json)
        return
    if peer_report or nat or peer_nat or verbose:
        what = "--peer-report, --nat, --peer-nat and --verbose add to --report"
        raise UsageError(what, hint="Give this side's ICE report with --report FILE")
    if not topic:
        _list(as_json)
        return
    found = find(" ".join(topic))
    if as_json:
        emit_json(dataclasses.asdict(found))
    else:
        show(found)


def _path(
    report: TextIO,
    peer_report: TextIO | None,
    nat: TextIO | None,
    peer_nat: TextIO | None,
    *,
    verbose: bool,
    as_json: bool,
) -> None:
    """Explain the path that a report shows."""
    # Here because it brings ICE and the probe, which a topic need not pay for.
    from natkit.cli.path_text import as_text, pairs_table
    from natkit.tools.path_explanation import explain_path
    from natkit.tools.path_report import IceReport

    document = _read(report)
    names = ("this side", "the peer")
    explanation = explain_path(
        document,
        local_nat=None if nat is None else _read(nat),
        remote_nat=None if peer_nat is None else _read(peer_nat),
        remote_report=None if peer_report is None else _read(peer_report),
        names=names,
    )
    if as_json:
        emit_json(explanation.as_json())
        return
    click.echo(as_text(explanation, names))
    if verbose:
        click.echo(f"\n{pairs_table(IceReport(document))}")


def _read(file: TextIO) -> Any:
    try:
        return json.load(file)
    except (ValueError, RecursionError) as error:  # of brackets in brackets without end
        raise UsageError(f"{file.name} is no JSON", why=str(error), hint=_HINT) from error


def show(topic: Topic) -> None:
    """Print one topic."""
    click.secho(topic.title, bold=True)
    click.echo(f"\n{topic.text}\n")
    if topic.see:
        click.echo(f"See also: {', '.join(topic.see)}")
    if topic.rfc:
        click.echo(f"Defined in: {topic.rfc}")


def _list(as_json: bool) -> None:
    if as_json:
        emit_json([{"name": t.name, "title": t.title} for t in topics().values()])
    else:
        click.echo(table(("topic", ""), [(t.name, t.title) for t in topics().values()]))
