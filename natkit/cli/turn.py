"""`natkit turn`: relay for those who cannot be reached."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from natkit.aio.fast_loop import collect_less, room_for_sockets, run_fast
from natkit.aio.network import SocketNetwork
from natkit.cli.common import Group, emit_json, json_option
from natkit.cli.params import DURATION
from natkit.cli.turn_bench import bench as bench_command
from natkit.cli.turn_check import check as check_command
from natkit.cli.turn_log import OwnerLog
from natkit.errors import NatkitError
from natkit.tools.relay import Relay, would_start
from natkit.tools.relay import serve as serve_relay
from natkit.tools.relay_config import RelayConfig, read_config
from natkit.tools.relay_fast_path import Chosen, FastPath, FastPathMode, give_up_privileges
from natkit.tools.relay_options import read_file
from natkit.turn.credentials import rest_password, rest_username

LOOK = 60.0
"""Seconds between looks at what others may change: the certificate's files, which are renewed weeks
before they end, and the interfaces of the fast path."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def turn() -> None:
    """Be a TURN server, or find out what is wrong with one."""


@turn.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="URI",
    help="Where clients come: udp://IP:PORT, tcp://, tls:// or dtls://; may be repeated. "
    "Default: udp and tcp on every address, port 3478.",
)
@click.option(
    "--alternate-port",
    type=click.IntRange(1, 65535),
    help="Answer NAT behaviour tests (RFC 5780) too, with this second UDP port: takes two IPs to "
    "listen on, and makes answers larger.",
)
@click.option("--realm", help="Name that accounts belong to. Default: natkit.")
@click.option(
    "--user", multiple=True, metavar="NAME:PASSWORD", help="Who may relay; may be repeated."
)
@click.option(
    "--secret",
    multiple=True,
    help="Secret shared with a web application that mints time-limited names; may be repeated.",
)
@click.option(
    "--relay-address",
    multiple=True,
    metavar="IP[=PUBLIC]",
    help="Address to relay from, and behind a 1:1 NAT its public one; may be repeated.",
)
@click.option("--relay-ports", metavar="A-B", help="Ports to relay from. Default: 49152-65535.")
@click.option(
    "--allow-peer", multiple=True, metavar="CIDR", help="Relay to these private peers after all."
)
@click.option("--deny-peer", multiple=True, metavar="CIDR", help="Do not relay to these peers.")
@click.option("--tls-cert", type=FILE, help="Certificate chain for TLS and DTLS (PEM).")
@click.option("--tls-key", type=FILE, help="Its private key (PEM), if in another file.")
@click.option("--user-quota", type=click.IntRange(1), help="Allocations that a user may have.")
@click.option("--total-quota", type=click.IntRange(1), help="Allocations in total.")
@click.option(
    "--max-bps", type=click.IntRange(1), help="Bytes a second of an allocation, each way."
)
@click.option(
    "--user-max-bps",
    type=click.IntRange(1),
    help="Bytes a second of all allocations of a user, each way.",
)
@click.option(
    "--metrics",
    metavar="IP:PORT",
    help="Where to serve /metrics, /healthz and /readyz, or off. Default: 127.0.0.1:9641.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that share the work, one a core: more calls than one carries. Default: 1.",
)
@click.option(
    "--fast-path",
    metavar="auto|off|xdp[:IFACE,…]",
    help="Forward packets of calls in the kernel (Linux, as root); auto: where it can; interfaces "
    "that are named: in their drivers. Default: off.",
)
@click.option(
    "--alternate-server",
    multiple=True,
    metavar="IP:PORT",
    help="Where clients are sent while this server drains; one of each IP version.",
)
@click.option(
    "--anycast",
    multiple=True,
    metavar="IP=OWN",
    help="Address that other servers have, too, and this one's own, which clients are sent to.",
)
@click.option("--drain-time", type=DURATION, help="How long calls may go on after SIGTERM: 30s.")
@click.option(
    "--config",
    type=FILE,
    multiple=True,
    help="TOML file with these options; may be repeated. Flags go before files, and the first file "
    "that has an option before the others.",
)
@click.option("--check-config", is_flag=True, help="Say whether it would start, and end.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the log, on stderr.",
)
def serve(config: tuple[Path, ...], check_config: bool, log_format: str, **options: Any) -> None:
    """Be a TURN server until told to stop.

    The line that begins with "ready" names what clients may be given. SIGTERM lets calls go on for
    --drain-time and takes no new ones; a second one stops at once. SIGHUP reads --config and the
    certificate again.
    """
    flags = {name.replace("_", "-"): value for name, value in options.items()}

    def read() -> RelayConfig:
        return read_config(flags, *map(read_file, config))

    wanted = read()
    log = OwnerLog(as_json=log_format == "json")
    for warning in wanted.warnings:
        log.say("warning", "configuration", why=warning)
    if check_config:
        why_not = would_start(SocketNetwork(), wanted)
        if why_not is not None:
            log.say("warning", "no fast path", why=why_not)
        click.echo("This configuration works here.")
        return
    room_for_sockets()
    run_fast(_serve(wanted, read, log))


async def _serve(config: RelayConfig, read: Callable[[], RelayConfig], log: OwnerLog) -> None:
    relay = await serve_relay(SocketNetwork(), config, log.report)
    try:
        for warning in relay.warnings:
            log.say("warning", "configuration", why=warning)
        _begin_fast_path(config.fast_path, relay.fast_path, log)
        stopping = _signals(relay, read, log)
        collect_less()
        click.echo(f"ready {' '.join(relay.uris)}")
        looking = asyncio.create_task(_look_around(relay, log))
        await stopping.get()
        looking.cancel()
        log.say("info", "draining", allocations=relay.allocations)
        relay.drain()
        await _first(relay.drained(), stopping.get())
    finally:
        await relay.close()
        log.flush()
    log.say("info", "stopped")


def _begin_fast_path(wanted: FastPath, chosen: Chosen, log: OwnerLog) -> None:
    kept = give_up_privileges(None if chosen.table is None else chosen.table.shared[0])
    if kept is not None:
        log.say("warning", "capabilities kept", why=kept)
    if chosen.table is not None:
        log.say("info", "fast path", interfaces=str(chosen))
    elif wanted.mode is not FastPathMode.OFF:
        log.say("warning", "no fast path", why=chosen.why_not)


async def _look_around(relay: Relay, log: OwnerLog) -> None:
    gone: set[str] = set()
    while True:
        await asyncio.sleep(LOOK)
        _renew_certificate(relay, log)
        for name in set(relay.fast_path.gone()) - gone:
            why = "the interface is gone, or another one: a restart has the program there again"
            log.say("warning", "fast path lost", interface=name, why=why)
            gone.add(name)


def _renew_certificate(relay: Relay, log: OwnerLog) -> None:
    """Take a certificate that somebody has renewed, without being told."""
    try:
        if relay.renew_certificate():
            log.say("info", "reloaded", changed="certificate")
    except (NatkitError, OSError) as error:
        log.say("error", "certificate not renewed", why=str(error))


def _signals(relay: Relay, read: Callable[[], RelayConfig], log: OwnerLog) -> asyncio.Queue[None]:
    """Return a queue that gets an item with every SIGINT and SIGTERM; SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Queue[None] = asyncio.Queue()

    def stop() -> None:
        stopping.put_nowait(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None:
        loop.add_signal_handler(hang_up, _reload, relay, read, log)
    return stopping


def _reload(relay: Relay, read: Callable[[], RelayConfig], log: OwnerLog) -> None:
    try:
        changes = relay.reload(read())
    except NatkitError as error:
        log.say("error", "not reloaded", why=str(error))
    else:
        log.say("info", "reloaded", changed=", ".join(changes) or "nothing but certificates")


async def _first(*waits: Coroutine[Any, Any, None]) -> None:
    """Wait until one of them is over, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


@turn.command()
@click.option("--secret", required=True, help="The secret that the server has, too.")
@click.option("--user", default="", help="Who it is for; the server counts quotas by it.")
@click.option("--ttl", type=DURATION, default="24h", show_default=True, help="Good for this long.")
@json_option
def credentials(secret: str, user: str, ttl: float, as_json: bool) -> None:
    """Mint a time-limited user name and its password, as a web application would."""
    username = rest_username(user, expires=int(time.time() + ttl))
    password = rest_password(secret, username)
    if as_json:
        emit_json({"username": username, "password": password, "ttl": int(ttl)})
    else:
        click.echo(f"username: {username}\npassword: {password}")


turn.add_command(check_command)
turn.add_command(bench_command)
