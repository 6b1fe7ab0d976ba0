"""`natkit probe`: what NAT am I behind, and will my calls go directly?"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn, Protocol

import click

from natkit.aio.network import SocketNetwork
from natkit.cli.common import Command, emit_json, error_as_json, json_option, one_form
from natkit.cli.params import DURATION, HOST_PORT, HostPort
from natkit.cli.probe_text import render
from natkit.cli.render import Progress, screen_width
from natkit.errors import NatkitError, NetworkUnreachable, RequirementNotMet, UsageError
from natkit.machine import Seconds
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
from natkit.tools.report import redact, redactions, stand_ins, to_json


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
@click.option("--every", type=DURATION, help="Probe until Ctrl-C, with this much time between.")
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

    Without --server, public servers are asked. What leaves this machine are look-ups of their names
    (DNS), STUN requests to them, and port-mapping questions to your own router.
    """
    if every is not None and require:
        raise UsageError(
            "--require and --every exclude each other",
            why="a requirement sets the exit code of one probe, and --every has no end",
            hint="Run `natkit probe --require ...` by a timer, or judge the lines of --jsonl",
        )
    options = Options(
        servers=_servers(servers),
        families=_families(ipv4, ipv6),
        interface=interface,
        hairpin=hairpin,
        lifetime=lifetime,
        fragments=fragments,
        budget=timeout,
    )
    one_form(as_json, jsonl)
    output = _Output(as_json or jsonl, jsonl or every is not None, redacted, verbose)
    if every is not None:
        await watch(partial(_once, options), output, every=every, clock=utc_now)
    at = utc_now()
    report = await _once(options)
    output.show(report, at)
    _check(report, require)


def utc_now() -> str:
    """Return the wall clock's time, RFC 3339 in UTC: 2026-11-22T13:05:00Z."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Output(Protocol):
    """Where `watch` sends what comes of each probe; `at` is when it began."""

    def show(self, report: ProbeReport, at: str) -> None:
        """Tell what was found."""

    def complain(self, error: NatkitError, at: str) -> None:
        """Tell why nothing was found."""


async def watch(
    once: Callable[[], Awaitable[ProbeReport]],
    output: Output,
    *,
    every: Seconds,
    clock: Callable[[], str],
) -> NoReturn:
    """Probe until cancelled. A probe that fails is told about like any other, and is not the end.

    Raises: UsageError: by the very first probe; later, an interface may be gone for a while.
    """
    is_first = True
    while True:
        at = clock()
        try:
            output.show(await once(), at)
        except NatkitError as error:
            if isinstance(error, UsageError) and is_first:
                raise
            output.complain(error, at)
        is_first = False
        await asyncio.sleep(every)


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


@dataclass(frozen=True, slots=True)
class _Output:
    """How to print.

    Attributes:
        as_json:  JSON instead of a screen.
        repeated: one of several: JSON on one line, the screen under its time.
        redacted: hide the user's addresses.
        verbose:  show the single observations, too.
    """

    as_json: bool
    repeated: bool
    redacted: bool
    verbose: bool

    def show(self, report: ProbeReport, at: str) -> None:
        replacements = redactions(report) if self.redacted else {}
        if self.as_json:
            text = redact(json.dumps(to_json(report, at=at)), replacements)
            emit_json(json.loads(text), compact=self.repeated)
            return
        text = render(report, verbose=self.verbose, width=screen_width())
        click.echo((f"{at}\n" if self.repeated else "") + redact(text, replacements))
        if self.repeated:
            click.echo()

    def complain(self, error: NatkitError, at: str) -> None:
        document = json.dumps({"at": at, "error": error_as_json(error)}, ensure_ascii=False)
        replacements = stand_ins(document) if self.redacted else {}
        if self.as_json:
            emit_json(json.loads(redact(document, replacements)), compact=True)
        else:
            click.echo(f"{at} error: {redact(str(error), replacements)}", err=True)


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
