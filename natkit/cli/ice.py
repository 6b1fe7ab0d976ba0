"""`natkit ice`: which candidates a call from here would have, and what is wrong with the others."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from natkit.aio.ice_gather import GatherPlan
from natkit.aio.ice_servers import TurnServer, stun_uri
from natkit.aio.network import SocketNetwork
from natkit.cli.common import Command, Session, emit_json, json_option
from natkit.cli.turn_check import given_login, login_options
from natkit.errors import UsageError
from natkit.ice.candidate import TcpType
from natkit.ice.priority import parts
from natkit.ice.report import Json, candidate_json, milliseconds
from natkit.network import Network
from natkit.tools.ice import Outcome, Step, Survey, Verdict, survey
from natkit.tools.probe import DEFAULT_SERVERS

SCHEMA = "natkit.ice.survey/1"

_COLOURS = {Outcome.WORKS: "green", Outcome.FAILS: "red", Outcome.NOT_ASKED: "yellow"}


@click.command(cls=Command)
@click.option("--stun", multiple=True, metavar="URI", help="STUN server; may be repeated.")
@click.option("--turn", multiple=True, metavar="URI", help="TURN server; may be repeated.")
@login_options
@click.option(
    "--policy",
    type=click.Choice(["all", "relay", "no-relay"]),
    default="all",
    show_default=True,
    help="Which candidates to gather.",
)
@click.option(
    "--interface", multiple=True, metavar="NAME", help="Use this interface; may be repeated."
)
@click.option(
    "--tcp",
    multiple=True,
    type=click.Choice([kind.value for kind in TcpType]),
    help="Offer candidates over TCP, too; may be repeated.",
)
@click.option(
    "--port-mapping",
    is_flag=True,
    help="Ask the gateway for an outside port, too: PCP, NAT-PMP, UPnP. It is given back.",
)
@json_option
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for each candidate.")
async def ice(
    stun: tuple[str, ...],
    turn: tuple[str, ...],
    username: str | None,
    password: str | None,
    secret: str | None,
    ca_file: Path | None,
    insecure: bool,
    policy: str,
    interface: tuple[str, ...],
    tcp: tuple[str, ...],
    port_mapping: bool,
    as_json: bool,
    jsonl: bool,
) -> int:
    """Gather ICE candidates as a call would, and say of each kind whether it works.

    URI is stun:HOST[:PORT], and turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST (TLS). Without
    --stun two public servers are asked. The exit code is 0 where all that was asked for works, 3
    for the network, 4 for the login.
    """
    Session.current().json = as_json or jsonl
    login = given_login(username, password, secret).login
    servers = tuple(
        TurnServer(
            uri,
            None if login is None else login.username,
            None if login is None else login.password,
            verify=not insecure,
            ca_file=None if ca_file is None else str(ca_file),
        )
        for uri in turn
    )
    if policy == "relay" and not servers:
        raise UsageError("--policy relay needs a TURN server", hint="Give one with --turn")
    network = SocketNetwork()
    plan = GatherPlan(
        hosts=policy != "relay",
        stun=tuple(stun_uri(server) for server in stun or DEFAULT_SERVERS[-2:]),
        turn=servers if policy != "no-relay" else (),
        hide_mapped=policy == "relay",
        wanted=_known(network, interface).__contains__ if interface else None,
        thorough=True,
        tcp=tuple(TcpType(kind) for kind in tcp),
        mapping=port_mapping,
    )
    printer = _Printer(as_json, jsonl)
    found = await survey(network, plan, secrets.token_bytes, printer.step)
    printer.end(found)
    return found.exit_code


def _known(network: Network, names: Sequence[str]) -> frozenset[str]:
    """Return the names. Raises: UsageError: one is no interface's."""
    there = list(dict.fromkeys(entry.name for entry in network.interfaces()))
    for name in names:
        if name not in there:
            hint = f"There are: {', '.join(there)}"
            raise UsageError(f"no interface is called {name!r}", hint=hint)
    return frozenset(names)


class _Printer:
    """Prints steps as they come, and the verdict."""

    def __init__(self, as_json: bool, jsonl: bool) -> None:
        self._json, self._lines = as_json and not jsonl, jsonl
        if not (as_json or jsonl):
            click.echo(click.style(_row("", *_HEADERS), bold=True))

    def step(self, step: Step) -> None:
        """Print what has come."""
        if self._lines:
            emit_json(_step_json(step), compact=True)
        elif not self._json:
            click.echo(_step_text(step))

    def end(self, found: Survey) -> None:
        """Print what it means."""
        if self._lines:
            emit_json(_outcome_json(found), compact=True)
        elif self._json:
            emit_json(as_document(found))
        else:
            click.echo("\n".join(["", *map(_verdict_text, found.verdicts)]))
            click.echo("\n".join(f"\n{finding}." for finding in found.findings), nl=False)
            if found.findings:
                click.echo()


_HEADERS = ("type", "address", "priority", "interface", "from", "took")
_WIDTHS = (10, 6, 34, 17, 10, 0, 0)


def _row(*cells: str) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return "  ".join(padded).rstrip()


def _step_text(step: Step) -> str:
    at, inquiry, found = f"{step.at * 1000:7.1f} ms", step.inquiry, step.found
    if found is None and inquiry is not None:
        base = "" if inquiry.base is None else f" from {inquiry.base}"
        what = f"{inquiry.server}{base}: {inquiry.error or 'sees no other address'}"
        return f"{at.ljust(_WIDTHS[0])}  {click.style('–', fg='yellow').ljust(_WIDTHS[1])}  {what}"
    if found is None:
        return at
    candidate, origin = found.candidate, found.origin
    priority = " | ".join(map(str, parts(candidate.priority)))
    took = "" if origin.round_trip is None else f"{origin.round_trip * 1000:.1f} ms"
    address = f"{candidate.host}:{candidate.port}"
    if candidate.is_tcp:
        address = f"{address} TCP {candidate.tcptype}"
    where = origin.interface or ""
    return _row(at, str(candidate.type), address, priority, where, origin.server or "", took)


def _step_json(step: Step) -> Json:
    found, inquiry = step.found, step.inquiry
    return {
        "ms": milliseconds(step.at),
        "candidate": None if found is None else candidate_json(found.candidate),
        "base": None if found is None else str(found.base),
        "interface": None if found is None else found.origin.interface,
        "server": None if inquiry is None else inquiry.server,
        "asked_from": None if inquiry is None or inquiry.base is None else str(inquiry.base),
        "took_ms": None if inquiry is None else milliseconds(inquiry.took),
        "error": None if inquiry is None else inquiry.error,
    }


def as_document(found: Survey) -> Json:
    """Return the JSON form: docs/schema/ice-survey-1.json."""
    return {**_outcome_json(found), "steps": [_step_json(step) for step in found.steps]}


def _outcome_json(found: Survey) -> Json:
    return {
        "schema": SCHEMA,
        "works": found.exit_code == 0,
        "verdicts": [_verdict_json(verdict) for verdict in found.verdicts],
        "findings": list(found.findings),
    }


def _verdict_text(verdict: Verdict) -> str:
    outcome = click.style(verdict.outcome.value, fg=_COLOURS[verdict.outcome])
    return f"{verdict.kind}: {outcome}{f' ({verdict.why})' if verdict.why else ''}"


def _verdict_json(verdict: Verdict) -> Json:
    return {
        "kind": verdict.kind,
        "works": None if verdict.outcome is Outcome.NOT_ASKED else verdict.outcome is Outcome.WORKS,
        "why": verdict.why or None,
    }
