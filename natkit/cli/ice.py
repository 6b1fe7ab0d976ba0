"""`natkit ice`: which candidates a call from here would have, and what is wrong with the others."""

from __future__ import annotations

import secrets

import click

from natkit.aio.connection import TransportPolicy
from natkit.aio.ice_gather import GatherPlan
from natkit.aio.ice_servers import stun_uri
from natkit.aio.network import SocketNetwork
from natkit.cli.common import Command, emit_json, json_option, one_form
from natkit.cli.ice_options import IceServers, ice_options
from natkit.cli.ice_text import CANDIDATE_HEADERS, candidate_row, without_candidate
from natkit.ice.report import Json, candidate_json, milliseconds, trouble_json
from natkit.tools.ice import Outcome, Step, Survey, Verdict, survey

SCHEMA = "natkit.ice.survey/1"

_COLOURS = {Outcome.WORKS: "green", Outcome.FAILS: "red", Outcome.NOT_ASKED: "yellow"}


@click.command(cls=Command)
@ice_options
@json_option
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for each candidate.")
async def ice(servers: IceServers, as_json: bool, jsonl: bool) -> int:
    """Gather ICE candidates as a call would, and say of each kind whether it works.

    URI is stun:HOST[:PORT], and turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST (TLS). Without
    --stun two public servers are asked. The exit code is 0 where all that was asked for works, 3
    for the network, 4 for the login.
    """
    one_form(as_json, jsonl)
    relayed_only = servers.policy is TransportPolicy.RELAY
    plan = GatherPlan(
        hosts=not relayed_only,
        stun=tuple(stun_uri(server) for server in servers.stun),
        turn=() if servers.policy is TransportPolicy.NO_RELAY else servers.turn,
        hide_mapped=relayed_only,
        wanted=None if servers.interfaces is None else frozenset(servers.interfaces).__contains__,
        thorough=True,
        tcp=servers.tcp,
        mapping=servers.port_mapping,
    )
    printer = _Printer(as_json, jsonl)
    found = await survey(SocketNetwork(), plan, secrets.token_bytes, printer.step)
    printer.end(found)
    return found.exit_code


class _Printer:
    """Prints steps as they come, and the verdict."""

    def __init__(self, as_json: bool, jsonl: bool) -> None:
        self._json, self._lines = as_json and not jsonl, jsonl
        if not (as_json or jsonl):
            click.echo(click.style(CANDIDATE_HEADERS, bold=True))

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


def _step_text(step: Step) -> str:
    inquiry, found = step.inquiry, step.found
    if found is not None:
        candidate, origin = found.candidate, found.origin
        return candidate_row(
            step.at, candidate, origin.interface or "", origin.server or "", origin.round_trip
        )
    if inquiry is None:
        return ""
    why = inquiry.error or "sees no other address"
    return without_candidate(step.at, inquiry.server, inquiry.base, why)


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
        **trouble_json(None if inquiry is None else inquiry.trouble),
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
