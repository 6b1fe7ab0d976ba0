"""`natkit turn check`: what is wrong with a TURN server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from natkit.aio.network import SocketNetwork
from natkit.aio.srv import look_up_srv
from natkit.cli.common import Command, emit_json, json_option
from natkit.cli.params import DURATION
from natkit.errors import UsageError
from natkit.tools.stun import Trust
from natkit.tools.turn_check import Manner
from natkit.tools.turn_check import check as check_server
from natkit.tools.turn_report import CheckReport, State, Step, TransportReport
from natkit.tools.turn_words import Given
from natkit.turn.client_auth import Login
from natkit.turn.client_uri import TurnUri
from natkit.turn.credentials import rest_password, rest_username
from natkit.wire import TransportAddress

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

MINTED_FOR = 3600
"""Seconds for which a name made from --secret is good."""


def login_options(command: F) -> F:
    """Give a command the options that say who we are and whom to believe."""
    for option in reversed(
        (
            click.option("--username", help="Who we are."),
            click.option("--password", help="With --username."),
            click.option("--secret", help="Mint a user name and password from this shared secret."),
            click.option("--ca-file", type=FILE, help="Believe these certificates too (PEM)."),
            click.option("--insecure", is_flag=True, help="Accept any certificate."),
        )
    ):
        command = option(command)
    return command


def given_login(username: str | None, password: str | None, secret: str | None) -> Given:
    """Return the login that the options stand for. Raises: UsageError: they contradict."""
    now = time.time()
    if secret is not None:
        if password is not None:
            raise UsageError("--secret makes the password", hint="Leave --password out")
        name = rest_username(username or "natkit", expires=int(now) + MINTED_FOR)
        return Given(Login(name, rest_password(secret, name)), from_secret=True, unix_time=now)
    if (username is None) != (password is None):
        raise UsageError("--username and --password go together")
    if username is None or password is None:
        return Given(None, from_secret=False, unix_time=now)
    return Given(Login(username, password), from_secret=False, unix_time=now)


def trust_in(ca_file: Path | None, insecure: bool) -> Trust:
    """Return whom the options say to believe."""
    return Trust(not insecure, None if ca_file is None else str(ca_file))


@click.command(cls=Command)
@click.argument("uris", nargs=-1, required=True, metavar="URI...")
@login_options
@click.option(
    "--timeout",
    type=DURATION,
    default="5s",
    show_default=True,
    help="For a connection, and for each request.",
)
@json_option
async def check(
    uris: tuple[str, ...],
    username: str | None,
    password: str | None,
    secret: str | None,
    ca_file: Path | None,
    insecure: bool,
    timeout: float,  # noqa: ASYNC109 - the command's option; the tool has its own patience
    as_json: bool,
) -> int:
    """Find out whether the TURN server at URI relays, and why not.

    URI is turn:HOST[:PORT] (UDP and TCP; TLS is tried as well), turn:HOST?transport=tcp or
    turns:HOST (TLS); give several as your application has them. Without a port, DNS is asked for
    SRV records. A packet goes through the relay.
    The exit code is 0 where all that was asked for works, 3 for the network, 4 for the login.
    """
    servers = [TurnUri.parse(uri) for uri in uris]
    manner = Manner(
        given_login(username, password, secret),
        secrets.token_bytes,
        trust_in(ca_file, insecure),
        patience=timeout,
        look_up_srv=look_up_srv,
    )
    reports = []
    for server in servers:
        report = await check_server(SocketNetwork(), server, manner)
        reports.append(report)
        if not as_json:
            click.echo("\n".join(_lines(report)))
    if as_json:
        emit_json(_as_json(reports))
    return next((report.exit_code for report in reports if report.exit_code), 0)


_MARKS = {
    State.FINE: ("ok", "green"),
    State.FAILED: ("FAILED", "red"),
    State.SKIPPED: ("skipped", "yellow"),
}


def _lines(report: CheckReport) -> list[str]:
    lines = []
    for one in report.transports:
        at = "" if one.server is None else f" at {one.server}"
        lines.append(click.style(f"{report.uri} over {one.transport.value}{at}", bold=True))
        for step in one.steps:
            lines += _step_lines(step)
        software = None if one.allocated is None else one.allocated.software
        lines.append(f"  {'verdict':<9} {_verdict(one)}{f' ({software})' if software else ''}")
    return lines


def _step_lines(step: Step) -> list[str]:
    mark, colour = _MARKS[step.state]
    took = "" if step.seconds is None else f" {step.seconds * 1000:.1f} ms"
    detail = step.detail if step.problem is None else step.problem.what
    lines = [f"  {step.name:<9} {click.style(mark, fg=colour)}{took}  {detail}".rstrip()]
    if step.problem is not None:
        lines.append(f"  {'':<9} {click.style('mend:', fg='cyan')} {step.problem.mend}")
    return lines


def _verdict(one: TransportReport) -> str:
    if not one.asked and one.allocated is None:
        return "cannot be used, and was not asked for"
    if not one.problems:
        skipped = any(step.state is State.SKIPPED for step in one.steps)
        return "works, as far as it was tried" if skipped else "works"
    return "cannot be used" if one.allocated is None else "works in part only"


def _as_json(reports: list[CheckReport]) -> dict[str, object]:
    return {
        "schema": "natkit.turn.check/1",
        "works": not any(report.exit_code for report in reports),
        "servers": [
            {"uri": str(report.uri), "transports": [_transport(t) for t in report.transports]}
            for report in reports
        ],
    }


def _transport(one: TransportReport) -> dict[str, object]:
    got = one.allocated
    return {
        "transport": one.transport.value,
        "server": _address(one.server),
        "asked": one.asked,
        "works": not one.problems,
        "relayed": None if got is None else _address(got.relayed[0]),
        "mapped": None if got is None else _address(got.mapped),
        "lifetime_s": None if got is None else got.lifetime,
        "software": None if got is None else got.software,
        "steps": [_step(step) for step in one.steps],
    }


def _step(step: Step) -> dict[str, object]:
    problem = step.problem
    return {
        "step": step.name,
        "state": step.state.value,
        "detail": step.detail or None,
        "ms": None if step.seconds is None else round(step.seconds * 1000, 3),
        "problem": None if problem is None else problem.what,
        "mend": None if problem is None else problem.mend,
    }


def _address(address: TransportAddress | None) -> dict[str, object] | None:
    return None if address is None else {"address": address.ip, "port": address.port}
