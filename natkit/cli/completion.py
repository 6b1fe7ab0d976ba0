"""`natkit completion`: the script that teaches a shell natkit's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from natkit.cli.common import Command
from natkit.errors import Unsupported

_WHERE = {
    "bash": 'eval "$(natkit completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(natkit completion zsh)"   in ~/.zshrc',
    "fish": "natkit completion fish > ~/.config/fish/completions/natkit.fish",
}


@click.command(
    cls=Command, epilog="\n\n".join(f"{shell}: `{line}`" for shell, line in _WHERE.items())
)
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    root = context.find_root().command
    generator = get_completion_class(shell)
    if generator is None:
        raise Unsupported(f"the installed click has no completion for {shell}")
    click.echo(generator(root, {}, "natkit", "_NATKIT_COMPLETE").source())
