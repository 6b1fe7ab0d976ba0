"""`natkit rendezvous`: be where two who use `natkit connect` find each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from natkit.aio.network import SocketNetwork
from natkit.aio.rendezvous import PORT
from natkit.cli.common import Group
from natkit.cli.params import HOST_PORT, HostPort
from natkit.cli.serving import given_certificate, listen_address, stop_signal
from natkit.network import Network
from natkit.tools.rendezvous_serve import serve as serve_rooms
from natkit.wire import TransportAddress

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def rendezvous() -> None:
    """Be where two people who use natkit connect find each other."""


@rendezvous.command()
@click.option(
    "--listen",
    type=HOST_PORT,
    multiple=True,
    metavar="ADDR[:PORT]",
    help=f"Address to answer on; may be repeated. Default: every address, port {PORT}.",
)
@click.option("--tls-cert", type=FILE, help="Speak HTTPS, with this certificate chain (PEM).")
@click.option("--tls-key", type=FILE, help="Its private key (PEM), if in another file.")
async def serve(listen: Sequence[HostPort], tls_cert: Path | None, tls_key: Path | None) -> None:
    """Be a rendezvous until interrupted.

    It holds what two who know a code tell each other for as long as that takes: at most 500 rooms,
    10 from one address, 20 minutes each. It learns candidates, and neither codes nor passwords;
    what it changed would be noticed. A proxy before it counts as one address.
    """
    tls = given_certificate(tls_cert, tls_key)
    network = SocketNetwork()
    addresses = [listen_address(at, PORT) for at in listen] or _everywhere(network)
    stop = stop_signal()
    service = await serve_rooms(network, addresses, tls=tls)
    scheme = "http" if tls is None else "https"
    click.echo("ready: " + ", ".join(f"{scheme}://{at}" for at in service.listening))
    await stop.wait()
    await service.close()


def _everywhere(network: Network) -> list[TransportAddress]:
    has_ipv6 = any(":" in interface.ip for interface in network.interfaces())
    return [TransportAddress(ip, PORT) for ip in (("0.0.0.0", "::") if has_ipv6 else ("0.0.0.0",))]
