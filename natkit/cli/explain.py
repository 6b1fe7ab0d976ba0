"""`natkit explain`: a term, an error code or a NAT type in plain words, offline."""

from __future__ import annotations

import dataclasses

import click

from natkit.cli.common import Command, emit_json, json_option
from natkit.cli.render import table
from natkit.tools.explain import Topic, find, topics


@click.command(cls=Command)
@click.argument("topic", nargs=-1)
@json_option
def explain(topic: tuple[str, ...], as_json: bool) -> None:
    """Explain TOPIC: a term, an error code or a NAT type; without one, list the topics.

    The words need no quotes: `natkit explain symmetric nat`.
    """
    if not topic:
        _list(as_json)
        return
    found = find(" ".join(topic))
    if as_json:
        emit_json(dataclasses.asdict(found))
    else:
        show(found)


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
