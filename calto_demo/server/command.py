"""`calto serve`: everything that Calto needs, in one process."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calto_demo.server.settings import Certificate, Provider, Settings
from natkit import Command, Number, UsageError, room_for_sockets, run_fast

if TYPE_CHECKING:
    from calto_demo.server.running import Server

GOOGLE = "https://accounts.google.com"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command)
@click.option(
    "--listen", metavar="IP:PORT", help="Default: 127.0.0.1:8000; with --tls 0.0.0.0:8443."
)
@click.option(
    "--tls",
    metavar="self-signed|CERT",
    help="Serve HTTPS: with a certificate made now, or with this chain (PEM). Browsers give the "
    "microphone to HTTPS and to localhost alone.",
)
@click.option("--tls-key", type=FILE, help="The chain's private key (PEM), if in another file.")
@click.option("--database", default="sqlite:///calto.db", show_default=True, metavar="URL")
@click.option("--redis", metavar="URL", help="Between several servers with one database.")
@click.option(
    "--secret",
    show_envvar=True,
    help="Signs tokens. Default: one that is made, and kept in the database.",
)
@click.option("--external-url", metavar="URL", help="What browsers call this server.")
@click.option("--origin", multiple=True, help="Of a front end elsewhere; may be repeated.")
@click.option("--guests/--no-guests", default=True, help="Sign-in by a name alone. Default: yes.")
@click.option("--oidc-issuer", default=GOOGLE, show_default=True, metavar="URL")
@click.option("--oidc-client-id", help="Switches on sign-in at the issuer.")
@click.option("--oidc-client-secret", default="", show_envvar=True, help="What proves that id.")
@click.option("--oidc-name", default="Google", show_default=True, help="What the button says.")
@click.option("--turn-port", default=3478, show_default=True, type=click.IntRange(0, 65534))
@click.option("--turn-uri", multiple=True, help="A TURN server, not our own; may be repeated.")
@click.option(
    "--turn-secret",
    show_envvar=True,
    help="With --turn-uri: what those servers have as their --secret.",
)
@click.option("--relay-address", metavar="IP[=PUBLIC]", help="Where our own relays from.")
@click.option("--relay-ports", default="49152-65535", show_default=True, metavar="A-B")
@click.option("--echo/--no-echo", default=True, help="The contact that echoes. Default: yes.")
@click.option(
    "--drain-time",
    type=Number(0, 86400),
    default=10.0,
    show_default=True,
    help="Seconds after SIGTERM.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
def serve(log_format: str, **given: Any) -> None:
    """Be Calto's server until told to stop.

    The line that begins with "ready" has the address to open. SIGTERM lets calls end for
    --drain-time and takes no new ones; a second one stops at once.

    Each option can be set by a variable, which other users of the machine do not see:
    CALTO_SERVE_ and its name. The exit code is 0 after a stop, 1 for a failure, 2 for options that
    cannot work, 3 where a port cannot be had or the database or Redis is not reached, 4 where the
    database refuses the login.
    """
    # Takes more than a second, which who asks for --help need not wait.
    from calto_demo.server.journal import write_log
    from calto_demo.server.running import serve as run

    write_log(as_json=log_format == "json")
    room_for_sockets()
    with tempfile.TemporaryDirectory(prefix="calto-") as directory:
        settings = _settings(Path(directory), **given)
        run_fast(run(settings, _ready))


def _ready(server: Server) -> None:
    turn = " ".join(uri.replace("{host}", "HOST") for uri in server.services.ice.turn)
    click.echo(f"Open {server.url} in two tabs, and call yourself.")
    click.echo(f"ready {server.url} {turn}")


def _settings(
    directory: Path,
    *,
    listen: str | None,
    tls: str | None,
    tls_key: Path | None,
    origin: tuple[str, ...],
    turn_uri: tuple[str, ...],
    drain_time: float,
    oidc_issuer: str,
    oidc_client_id: str | None,
    oidc_client_secret: str,
    oidc_name: str,
    **same: Any,
) -> Settings:
    """Return what the options say. Raises: UsageError."""
    host, port = _place(listen or ("0.0.0.0:8443" if tls else "127.0.0.1:8000"))
    provider = None
    if oidc_client_id is not None or oidc_client_secret:
        provider = Provider(oidc_issuer, oidc_client_id or "", oidc_client_secret, oidc_name)
    return Settings(
        host=host,
        port=port,
        origins=origin,
        turn_uris=turn_uri,
        drain=drain_time,
        provider=provider,
        certificate=_certificate(tls, tls_key, host, directory),
        **same,
    )


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 65536):
        raise UsageError(f"cannot listen on {text!r}", hint="Write IP:PORT, as 0.0.0.0:8000")
    return host.strip("[]"), int(port)


def _certificate(
    tls: str | None, key: Path | None, host: str, directory: Path
) -> Certificate | None:
    if tls is None:
        return None
    if tls == "self-signed":
        from calto_demo.server.certificates import self_signed

        return self_signed(host, directory)
    if not Path(tls).is_file():
        raise UsageError(f"--tls {tls} is no file", hint="Write self-signed, or a PEM file's name")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls, key)
    except OSError as error:  # of which ssl.SSLError is one
        why = error.strerror or str(error)
        hint = "Give the chain with --tls and its own private key with --tls-key, in PEM"
        raise UsageError(f"cannot use the certificate {tls}", why=why, hint=hint) from error
    return Certificate(Path(tls), key, trusted=True)
