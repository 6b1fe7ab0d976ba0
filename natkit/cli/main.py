"""The `natkit` command: a table of sub-commands, each imported only when it is run.

Every command lives in a module of its own. The table holds its short help, so that listing the
commands imports none of them.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click
from click.exceptions import NoSuchCommand

from natkit import __version__
from natkit.cli.common import Command, Root


class Entry(NamedTuple):
    """Where a command lives, and its line in `natkit --help`."""

    target: str
    help: str


COMMANDS = {
    "probe": Entry("natkit.cli.probe:probe", "Say what NAT you are behind, and what it means."),
    "explain": Entry("natkit.cli.explain:explain", "Explain a term, an error code or a NAT type."),
    "doctor": Entry("natkit.cli.doctor:doctor", "Say what this machine can and cannot do."),
    "stun": Entry("natkit.cli.stun:stun", "Ask a STUN server, or be one."),
    "turn": Entry("natkit.cli.turn:turn", "Be a TURN server, or find out what is wrong with one."),
    "ice": Entry("natkit.cli.ice:ice", "Gather ICE candidates, and say what works and what not."),
    "connect": Entry("natkit.cli.connect:connect", "Connect to somebody, and ping over the path."),
    "rendezvous": Entry(
        "natkit.cli.rendezvous:rendezvous", "Be where users of natkit connect find each other."
    ),
    "lab": Entry("natkit.cli.lab:lab", "Build networks with NATs in them, simulated or real."),
    "help": Entry("natkit.cli.help:help_", "Show the help of a command, or of a topic."),
    "completion": Entry("natkit.cli.completion:completion", "Print a shell's completion script."),
}


class LazyRoot(Root):
    """The root group, which knows its commands by `COMMANDS` alone until one is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command where it is loaded, else a stand-in that has its short help."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return self.commands.get(cmd_name) or Command(cmd_name, short_help=entry.help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the command that is about to run.

        Raises: NoSuchCommand: the table has none of that name; it suggests what comes near.
        """
        if args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        elif not args[0].startswith("-"):
            raise NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


def load(name: str) -> click.Command:
    """Import and return the command that the table has under `name`."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    command: Any = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)  # noqa: S101 - the table is ours, a test loads it all
    command.short_help = COMMANDS[name].help
    return command


CONTEXT_SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "NATKIT",
    "max_content_width": 100,
}


@click.group(cls=LazyRoot, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name="natkit")
def main() -> None:
    """Find out what NAT you are behind, and whether calls from here go directly.

    Start with `natkit probe`.
    """
