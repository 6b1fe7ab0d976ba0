"""`natkit stun`: ask a STUN server, or be one."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from natkit.aio.network import SocketNetwork
from natkit.aio.srv import look_up_srv
from natkit.cli.common import Group, emit_json, json_option
from natkit.cli.params import DURATION, HOST_PORT, HostPort
from natkit.cli.serving import given_certificate, listen_address, stop_signal
from natkit.errors import UsageError
from natkit.network import Family
from natkit.stun.uri import StunUri, Transport
from natkit.tools.places import BOTH_FAMILIES
from natkit.tools.stun import QueryReport, Trust
from natkit.tools.stun import query as query_stun
from natkit.tools.stun_serve import serve as serve_stun
from natkit.wire import TransportAddress

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PORT = click.IntRange(1, 65535)


@click.group(cls=Group)
def stun() -> None:
    """Ask a STUN server, or be one."""


@stun.command()
@click.argument("uri")
@click.option("-4", "ipv4", is_flag=True, help="Use IPv4 only.")
@click.option("-6", "ipv6", is_flag=True, help="Use IPv6 only.")
@click.option(
    "--timeout",
    type=DURATION,
    default="39.5s",
    show_default=True,
    help="Give up after this long; the default is the RFC's.",
)
@click.option("--ca-file", type=FILE, help="Believe these certificates too (PEM), over TLS.")
@click.option("--insecure", is_flag=True, help="Accept any certificate, over TLS.")
@json_option
async def query(
    uri: str,
    ipv4: bool,
    ipv6: bool,
    timeout: float,  # noqa: ASYNC109 - the command's option; the tool has its own patience
    ca_file: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Ask the server at URI which address it sees.

    URI is stun:HOST[:PORT], stun:HOST?transport=tcp or stuns:HOST (TLS); a bare HOST[:PORT] is
    UDP. Without a port, DNS is asked for SRV records.
    """
    report = await query_stun(
        SocketNetwork(),
        StunUri.parse(uri),
        randomness=secrets.token_bytes,
        families=_families(ipv4, ipv6),
        patience=timeout,
        look_up_srv=look_up_srv,
        trust=Trust(not insecure, None if ca_file is None else str(ca_file)),
    )
    if as_json:
        emit_json(_as_json(report))
    else:
        click.echo("\n".join(f"{name + ':':<10} {text}" for name, text in _lines(report)))


def _families(ipv4: bool, ipv6: bool) -> tuple[Family, ...]:
    if ipv4 and ipv6:
        raise UsageError("-4 and -6 exclude each other", hint="Leave both out to try both")
    if ipv4:
        return (Family.IPV4,)
    return (Family.IPV6,) if ipv6 else BOTH_FAMILIES


def _lines(report: QueryReport) -> list[tuple[str, str]]:
    """Return what to show, as names and texts."""
    answer = report.answer
    time = "unknown" if answer.round_trip is None else f"{answer.round_trip * 1000:.1f} ms"
    tries = "" if answer.sent == 1 else f" (sent {answer.sent} times)"
    lines = [("mapped", _mapped(report)), ("server", f"{report.server} ({report.uri})")]
    if report.local is not None:
        lines.append(("local", str(report.local)))
    lines.append(("time", time + tries))
    if answer.source != report.server:
        lines.append(("source", f"{answer.source}, which is not where the request went"))
    if answer.plain_mapped not in (None, answer.mapped):
        lines.append(("rewritten", f"a NAT changed MAPPED-ADDRESS to {answer.plain_mapped}"))
    if answer.other_address is not None:
        lines.append(("other", f"{answer.other_address} (RFC 5780)"))
    if answer.software is not None:
        lines.append(("software", answer.software))
    return lines


def _mapped(report: QueryReport) -> str:
    mapped = str(report.answer.mapped)
    return f"{mapped} (no NAT)" if report.answer.mapped == report.local else mapped


def _as_json(report: QueryReport) -> dict[str, object]:
    """Return the report's JSON form; addresses as in `natkit probe --json`."""
    answer = report.answer
    return {
        "schema": "natkit.stun.query/1",
        "uri": str(report.uri),
        "transport": report.uri.transport.value,
        "server": _address(report.server),
        "local": _address(report.local),
        "mapped": _address(answer.mapped),
        "plain_mapped": _address(answer.plain_mapped),
        "source": _address(answer.source),
        "other_address": _address(answer.other_address),
        "response_origin": _address(answer.response_origin),
        "software": answer.software,
        "round_trip_ms": None if answer.round_trip is None else round(answer.round_trip * 1000, 3),
        "sent": answer.sent,
        "elapsed_ms": round(report.elapsed * 1000, 3),
    }


def _address(address: TransportAddress | None) -> dict[str, object] | None:
    return None if address is None else {"address": address.ip, "port": address.port}


@stun.command()
@click.option(
    "--listen",
    type=HOST_PORT,
    multiple=True,
    metavar="ADDR[:PORT]",
    help="Address to answer on; may be repeated. Default: every address, port 3478.",
)
@click.option("--rfc5780", is_flag=True, help="Answer NAT behaviour tests; larger answers.")
@click.option(
    "--alternate-port",
    type=PORT,
    help="Second port, with --rfc5780. Default: the main port plus one.",
)
@click.option("--tls-cert", type=FILE, help="Serve TLS too, with this certificate chain (PEM).")
@click.option("--tls-key", type=FILE, help="Its private key (PEM), if in another file.")
@click.option("--tls-port", type=PORT, default=5349, show_default=True, help="Port for TLS.")
async def serve(
    listen: Sequence[HostPort],
    rfc5780: bool,
    alternate_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_port: int,
) -> None:
    """Answer STUN Binding requests over UDP and TCP until interrupted.

    Answers are as small as the protocol allows. RFC 5780 is for those who want to measure NATs
    against this server: give it two addresses of one IP version, or one to change ports only.
    """
    tls = given_certificate(tls_cert, tls_key)
    addresses = [listen_address(at, Transport.UDP.port) for at in listen] or [
        TransportAddress(ip, Transport.UDP.port) for ip in ("0.0.0.0", "::")
    ]
    service = await serve_stun(
        SocketNetwork(),
        addresses,
        alternate_port=_alternate(rfc5780, alternate_port, addresses),
        tls=tls,
        tls_port=tls_port,
    )
    stop = stop_signal()
    listening = ", ".join(f"{kind.value} {at}" for kind, at in service.listening)
    click.echo(f"ready: {listening}")
    await stop.wait()
    await service.close()


def _alternate(
    rfc5780: bool, port: int | None, addresses: Sequence[TransportAddress]
) -> int | None:
    if not rfc5780:
        if port is not None:
            raise UsageError("--alternate-port needs --rfc5780")
        return None
    return addresses[0].port + 1 if port is None else port
