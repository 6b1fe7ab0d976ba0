"""The `calto` command: a table of sub-commands, each imported only when it is run."""

from __future__ import annotations

import sys

import click

from natkit import Entry, LazyRoot, __version__, cli_settings

COMMANDS = {
    "serve": Entry(
        "calto_demo.server.command:serve", "Be the server of Calto: one process, all in it."
    ),
    "call": Entry("calto_demo.peer.command:call", "Call somebody, without a browser."),
    "answer": Entry("calto_demo.peer.command:answer", "Answer calls, without a browser."),
    "compare": Entry(
        "calto_demo.compare.command:compare", "Make the same call directly and through a relay."
    ),
}


@click.group("calto", cls=LazyRoot, table=COMMANDS, context_settings=cli_settings("calto"))
@click.version_option(__version__, prog_name="calto")
def main() -> None:
    """Call somebody, and see which way the call goes.

    Start with `calto serve`.
    """


def run() -> None:
    """Run this process's command line, and exit with its code."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
