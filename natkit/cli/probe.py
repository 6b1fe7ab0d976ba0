"""`natkit probe`: what NAT am I behind, and will my calls go directly?"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence

import click

from natkit.aio.network import SocketNetwork
from natkit.cli.common import Command, Session, emit_json, json_option
from natkit.cli.params import DURATION, HOST_PORT, HostPort
from natkit.cli.probe_text import render
from natkit.cli.render import Progress, screen_width
from natkit.errors import NetworkUnreachable, RequirementNotMet, UsageError
from natkit.network import Family
from natkit.tools.probe import (
    DEFAULT_SERVERS,
    REQUIREMENTS,
    STUN_PORT,
    Options,
    ProbeReport,
    meets,
)
from natkit.tools.probe import (
    probe as run_probe,
)
from natkit.tools.report import redact, redactions, to_json


@click.command(cls=Command)
@click.option(
    "--server",
    "servers",
    type=HOST_PORT,
    multiple=True,
    help="STUN server to ask, HOST[:PORT]; may be repeated. RFC 5780 servers tell most.",
)
@click.option("-4", "ipv4", is_flag=True, help="Probe IPv4 only.")
@click.option("-6", "ipv6", is_flag=True, help="Probe IPv6 only.")
@click.option("--interface", metavar="NAME", help="Send from this network interface only.")
@click.option("--hairpin", is_flag=True, help="Also send to your own external address.")
@click.option("--lifetime", is_flag=True, help="Also find how long an idle mapping lives (3 min).")
@click.option("--fragments", is_flag=True, help="Also send packets too large for one frame.")
@click.option(
    "--require",
    type=click.Choice(list(REQUIREMENTS)),
    multiple=True,
    help="Exit with 5 unless this holds; may be repeated. 'direct' is: with most peers or all.",
)
@click.option("--every", type=DURATION, help="Probe again and again, with this much time between.")
@json_option
@click.option("--jsonl", is_flag=True, help="Print one line of JSON for each probe.")
@click.option("--redact", "redacted", is_flag=True, help="Hide your addresses, to show it around.")
@click.option(
    "--timeout", type=DURATION, default="6s", show_default=True, help="Decide after this long."
)
@click.option("-v", "--verbose", is_flag=True, help="Show the single observations.")
async def probe(
    servers: tuple[HostPort, ...],
    ipv4: bool,
    ipv6: bool,
    interface: str | None,
    hairpin: bool,
    lifetime: bool,
    fragments: bool,
    require: tuple[str, ...],
    every: float | None,
    as_json: bool,
    jsonl: bool,
    redacted: bool,
    timeout: float,  # noqa: ASYNC109 - the command's option; the plan keeps it, not asyncio
    verbose: bool,
) -> None:
    """Say what NAT you are behind, and what it means for a call.

    Without --server, public servers are asked. Nothing but STUN requests leaves this machine, and
    port-mapping questions to your own router.
    """
    options = Options(
        servers=_servers(servers),
        families=_families(ipv4, ipv6),
        interface=interface,
        hairpin=hairpin,
        lifetime=lifetime,
        fragments=fragments,
        budget=timeout,
    )
    Session.current().json = as_json or jsonl
    while True:
        report = await _once(options)
        _show(report, as_json, jsonl or (as_json and every is not None), redacted, verbose)
        if every is None:
            break
        await asyncio.sleep(every)
    _check(report, require)


def _servers(chosen: Sequence[HostPort]) -> tuple[tuple[str, int], ...]:
    return tuple((s.host, s.port or STUN_PORT) for s in chosen) or DEFAULT_SERVERS


def _families(ipv4: bool, ipv6: bool) -> tuple[Family, ...]:
    if ipv4 and ipv6:
        raise UsageError("-4 and -6 exclude each other", hint="Leave both out to probe both")
    if ipv4:
        return (Family.IPV4,)
    return (Family.IPV6,) if ipv6 else (Family.IPV4, Family.IPV6)


async def _once(options: Options) -> ProbeReport:
    with Progress() as progress:
        return await run_probe(
            SocketNetwork(), options, randomness=secrets.token_bytes, tell=progress.say
        )


def _show(report: ProbeReport, as_json: bool, jsonl: bool, redacted: bool, verbose: bool) -> None:
    replacements = redactions(report) if redacted else {}
    if as_json or jsonl:
        text = redact(json.dumps(to_json(report)), replacements)
        emit_json(json.loads(text), compact=jsonl)
    else:
        text = render(report, verbose=verbose, width=screen_width())
        click.echo(redact(text, replacements))


def _check(report: ProbeReport, require: Sequence[str]) -> None:
    """Turn what was found into an exit code."""
    if not report.is_reachable:
        raise NetworkUnreachable(
            "no server answered",
            why="neither over UDP nor over TCP or TLS",
            hint="Check the network, or name another server with --server",
        )
    missed = [name for name in require if not meets(report, name)]
    if missed:
        raise RequirementNotMet(f"not met: {', '.join(missed)}", why=report.verdict.summary)
