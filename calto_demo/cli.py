"""The `calto` command: a table of sub-commands, each imported only when it is run."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from natkit import NatkitError, __version__

COMMANDS = {
    "serve": "calto_demo.server.command:serve",
}
"""Where each command lives."""


class LazyGroup(click.Group):
    """Knows its commands by `COMMANDS`, and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; None: the table has none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours, a test loads it
        return command


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CALTO",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="calto")
def main() -> None:
    """Call somebody, and see which way the call goes.

    Start with `calto serve`.
    """


def run() -> None:
    """Run this process's command line, and exit with its code."""
    try:
        main()
    except NatkitError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
