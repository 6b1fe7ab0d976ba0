"""A command line whose commands are imported only when they are run.

Every command lives in a module of its own. A table holds its short help, so that listing the
commands imports none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.exceptions import NoSuchCommand

from natkit.cli.common import Command, Root


class Entry(NamedTuple):
    """Where a command lives, and its line in the list of commands."""

    target: str
    help: str


class LazyRoot(Root):
    """The root group, which knows its commands by a table alone until one is run."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command where it is loaded, else a stand-in that has its short help."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        return self.commands.get(cmd_name) or Command(cmd_name, short_help=entry.help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the command that is about to run.

        Raises: NoSuchCommand: the table has none of that name; it suggests what comes near.
        """
        if args[0] in self.table:
            self.commands[args[0]] = load(self.table[args[0]])
        elif not args[0].startswith("-"):
            raise NoSuchCommand(args[0], possibilities=self.table, ctx=ctx)
        return super().resolve_command(ctx, args)


def load(entry: Entry) -> click.Command:
    """Import and return the command of an entry."""
    module, _, attribute = entry.target.partition(":")
    command: Any = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)  # noqa: S101 - the table is ours, a test loads it all
    command.short_help = entry.help
    return command


def cli_settings(name: str) -> dict[str, Any]:
    """Return the context settings of the program of that name."""
    return {
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": name.upper(),
        "max_content_width": 100,
    }
