"""`natkit connect`: two people, one code, and the path between them."""

from __future__ import annotations

import secrets

import click

from natkit.aio.network import SocketNetwork
from natkit.cli.common import Command, emit_json, json_option
from natkit.cli.connect_signalling import by_code, by_hand, to_stderr
from natkit.cli.connect_text import Screen, ended
from natkit.cli.ice_options import IceServers, ice_options
from natkit.cli.params import DURATION
from natkit.errors import UsageError
from natkit.rendezvous.code import Code
from natkit.rendezvous.description import LONGEST_SEARCH
from natkit.tools.connect import Call, Wishes


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[CODE]")
@click.option(
    "--rendezvous",
    "url",
    metavar="URL",
    help="Where the two find each other. Default: this machine, for trying it out.",
)
@click.option("--manual", is_flag=True, help="Copy and paste one line each way instead.")
@ice_options
@click.option("--until-direct", is_flag=True, help="Go on, with restarts, until it is direct.")
@click.option(
    "--count", type=click.IntRange(1, 3600), default=4, show_default=True, help="Pings to send."
)
@click.option(
    "--timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    help="For a path to be found; with --until-direct for a direct one.",
)
@json_option
async def connect(
    words: tuple[str, ...],
    url: str | None,
    manual: bool,
    servers: IceServers,
    until_direct: bool,
    count: int,
    timeout: float,  # noqa: ASYNC109 - the command's option; the tool has its own patience
    as_json: bool,
) -> int:
    """Connect to somebody, see which path is found, and ping over it.

    Without CODE this shows one and waits; whoever runs it with that CODE is connected. The options
    of servers and candidates are as with natkit ice. The exit code is 0 where pings
    were answered, 3 where there is no path, 4 where the code is refused, 5 where --until-direct
    was in vain.
    """
    if manual and (words or url is not None or until_direct):
        hint = "Leave CODE, --rendezvous and --until-direct out"
        raise UsageError("--manual has one line each way, and nothing else", hint=hint)
    if until_direct and timeout > LONGEST_SEARCH:
        hint = f"Give --timeout {LONGEST_SEARCH / 60:g}m or less"
        raise UsageError("--until-direct cannot go on for so long", hint=hint)
    network = SocketNetwork()
    wishes = Wishes(
        servers.stun,
        servers.turn,
        servers.policy,
        servers.interfaces,
        servers.tcp,
        servers.port_mapping,
        count,
        timeout,
        until_direct,
    )
    say = to_stderr if as_json else click.echo
    code = Code.parse(" ".join(words)) if words else None
    opened = by_hand(say) if manual else by_code(network, code, url, servers.trust, say)
    async with opened as signalling:
        call = Call(network, signalling, wishes, secrets.token_bytes)
        screen = Screen(call.report, quiet=as_json)
        try:
            report = await call.run(screen.heard)
        finally:
            screen.close()
    if as_json:
        emit_json(report.to_json())
    else:
        click.echo(ended(report))
    return report.exit_code
