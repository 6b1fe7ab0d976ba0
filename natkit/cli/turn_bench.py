"""`natkit turn bench`: what a TURN server carries."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from natkit.aio.network import SocketNetwork
from natkit.aio.srv import look_up_srv
from natkit.cli.common import Command, emit_json, json_option
from natkit.cli.params import DURATION
from natkit.cli.turn_check import given_login, login_options, trust_in
from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.tools.turn_bench import bench as load_server
from natkit.tools.turn_bench import find_server
from natkit.tools.turn_load import (
    LARGEST,
    MOST_CLIENTS,
    SMALLEST,
    BenchReport,
    Direction,
    Flow,
    Load,
)
from natkit.turn.client_uri import TurnUri


@click.command(cls=Command)
@click.argument("uri")
@login_options
@click.option(
    "--clients",
    type=click.IntRange(1, MOST_CLIENTS),
    default=10,
    show_default=True,
    help="Allocations, each with a peer here.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 10_000),
    default=50.0,
    show_default=True,
    help="Packets a second, for each client and direction. A call has 50.",
)
@click.option(
    "--size",
    type=click.IntRange(SMALLEST, LARGEST),
    default=172,
    show_default=True,
    help="Bytes of a packet. Opus and RTP have about 172.",
)
@click.option(
    "--direction",
    type=click.Choice([way.value for way in Direction]),
    default=Direction.BOTH.value,
    show_default=True,
    help="From the clients to their peers (up), from the peers (down), or both.",
)
@click.option(
    "--duration", type=DURATION, default="10s", show_default=True, help="Send for this long."
)
@json_option
async def bench(
    uri: str,
    username: str | None,
    password: str | None,
    secret: str | None,
    ca_file: Path | None,
    insecure: bool,
    clients: int,
    rate: float,
    size: int,
    direction: str,
    duration: float,
    as_json: bool,
) -> None:
    """Load the TURN server at URI from here, and count what arrives.

    Each client has an allocation with a channel to a plain socket here. Do this to servers of your
    own only. The latency is that of one way through the relay, with what this machine adds. Ends
    with 3 when the server stops answering.
    """
    network = SocketNetwork()
    load = Load(clients, rate, size, Direction(direction), duration)
    load.check()
    trust = trust_in(ca_file, insecure)
    server = await find_server(network, TurnUri.parse(uri), trust, secrets.token_bytes, look_up_srv)
    login = given_login(username, password, secret).login
    report = await load_server(network, server, login, load, secrets.token_bytes)
    if as_json:
        emit_json(_as_json(report))
    else:
        click.echo("\n".join(_lines(report)))
    if report.gone is not None:
        raise NetworkUnreachable(
            f"the server {report.server} has stopped answering",
            why=f"at the end {report.gone}, so what is lost says nothing of what it carries",
            hint="See in its log whether it has ended, or was started again",
        )


def _lines(report: BenchReport) -> list[str]:
    load = report.load
    lines = [
        f"server   {report.server} over {report.transport.value}",
        f"clients  {report.clients} of {load.clients}, ready in {report.setup:.2f} s",
        *(f"failed   {why}" for why in dict.fromkeys(report.failed)),
        f"load     {load.rate:g} packets/s of {load.size} bytes each, for {report.seconds:.1f} s",
    ]
    return [*lines, *(_flow_line(name, flow) for name, flow in report.flows.items())]


def _flow_line(name: str, flow: Flow) -> str:
    times = (("median", flow.median), ("90 %", flow.p90), ("99 %", flow.p99), ("most", flow.most))
    latency = ", ".join(f"{word} {_ms(value):.2f} ms" for word, value in times if value is not None)
    counts = f"{flow.delivered} of {flow.sent} delivered, {flow.lost} lost ({flow.loss:.2%})"
    return f"{name:<8} {counts}{'; ' if latency else ''}{latency}"


def _as_json(report: BenchReport) -> dict[str, object]:
    load = report.load
    return {
        "schema": "natkit.turn.bench/1",
        "server": {"address": report.server.ip, "port": report.server.port},
        "transport": report.transport.value,
        "clients": {"asked": load.clients, "ready": report.clients},
        "failures": list(report.failed),
        "gone": report.gone,
        "setup_s": round(report.setup, 6),
        "load": {
            "packets_per_s": load.rate,
            "bytes": load.size,
            "direction": load.direction.value,
            "duration_s": load.duration,
        },
        "seconds": round(report.seconds, 6),
        "flows": {name: _flow(flow) for name, flow in report.flows.items()},
    }


def _flow(flow: Flow) -> dict[str, object]:
    times = {"median": flow.median, "p90": flow.p90, "p99": flow.p99, "most": flow.most}
    return {
        "sent": flow.sent,
        "delivered": flow.delivered,
        "lost": flow.lost,
        "latency_ms": {
            name: None if value is None else round(_ms(value), 4) for name, value in times.items()
        },
    }


def _ms(value: Seconds) -> float:
    return value * 1000
