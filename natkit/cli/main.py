"""The `natkit` command: a table of sub-commands, each imported only when it is run."""

from __future__ import annotations

import click

from natkit.cli.lazy import Entry, LazyRoot, cli_settings
from natkit.version import __version__

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


@click.group("natkit", cls=LazyRoot, table=COMMANDS, context_settings=cli_settings("natkit"))
@click.version_option(__version__, prog_name="natkit")
def main() -> None:
    """Find out what NAT you are behind, and whether calls from here go directly.

    Start with `natkit probe`.
    """
