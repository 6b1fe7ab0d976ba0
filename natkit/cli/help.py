"""`natkit help`: the help of a command, or a topic such as exit-codes."""

from __future__ import annotations

import click

from natkit.cli.common import Command


@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND... | TOPIC]")
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND, or explain TOPIC, such as exit-codes or environment."""
    here = context.find_root()
    assert isinstance(here.command, click.Group)  # noqa: S101 - the root has commands
    if words and words[0] not in here.command.list_commands(here):
        _explain(" ".join(words))
        return
    for word in words:
        here = descend(here, word)
    click.echo(here.get_help())


def descend(context: click.Context, word: str) -> click.Context:
    """Return a context for the sub-command `word`, good for its help.

    Raises: click.UsageError: there is no such sub-command.
    """
    if not isinstance(context.command, click.Group):
        raise click.UsageError(f"{context.command_path} has no sub-commands", context)
    _, command, _ = context.command.resolve_command(context, [word])
    assert command is not None  # noqa: S101 - resolve_command raises for an unknown one
    return command.make_context(word, [], parent=context, resilient_parsing=True)


def _explain(topic: str) -> None:
    # Here so that the help of a command does not read the topics.
    from natkit.cli.explain import show
    from natkit.tools.explain import find

    show(find(topic))
