"""What an owner decides about a server; `command` makes one from flags and the environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from natkit import UsageError


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Connect provider to sign in with. Attributes: name: what the button says."""

    issuer: str
    client_id: str
    client_secret: str
    name: str

    def __post_init__(self) -> None:
        if origin_of(self.issuer) is None:
            hint = "Write the issuer as its documents do: https://accounts.google.com"
            raise UsageError(f"--oidc-issuer {self.issuer!r} is no URL", hint=hint)
        if not (self.client_id and self.client_secret):
            hint = "Give both, as the provider made them, or neither"
            raise UsageError("--oidc-client-id and --oidc-client-secret go together", hint=hint)


@dataclass(frozen=True, slots=True)
class Certificate:
    """TLS. Attributes: trusted: browsers take it without a question."""

    chain: Path
    key: Path | None
    trusted: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it.

    Attributes:
        host, port:   where HTTP and WebSockets are served; port 0: any that is free.
        database:     URL.
        redis:        URL of the backplane; None: this is the one process.
        secret:       signs tokens; None: one that is made and kept in the database.
        external_url: what browsers call this server, where it is not what they ask for.
        origins:      of front ends elsewhere, "https://app.example.org".
        guests:       whether one can sign in with a name alone; and how many a minute, from one IP.
        turn_port:    UDP and TCP; the next port serves STUN as well; 0: any that are free.
        turn_uris:    TURN servers in place of one in this process.
        turn_secret:  what those have: it makes logins, and no tokens.
        relay_address: where this process relays from, and what the internet calls it ("IP=PUBLIC").
        echo:         whether the echo contact is there.
        static:       the web app's files.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    database: str = "sqlite:///calto.db"
    redis: str | None = None
    secret: str | None = None
    external_url: str | None = None
    origins: tuple[str, ...] = ()
    guests: bool = True
    guests_a_minute: int = 60
    certificate: Certificate | None = None
    provider: Provider | None = None
    turn_port: int = 3478
    turn_uris: tuple[str, ...] = ()
    turn_secret: str | None = None
    relay_address: str | None = None
    relay_ports: str = "49152-65535"
    drain: float = 10.0
    echo: bool = True
    static: Path = Path(__file__).parent.parent / "static"

    def __post_init__(self) -> None:
        for origin in self.origins:
            if origin_of(origin) != origin:
                hint = "Write it as browsers do, without a path: https://app.example.org"
                raise UsageError(f"{origin!r} is no origin", hint=hint)
        if self.secret is not None and len(self.secret) < 32:
            why = "who guesses it can be anybody"
            hint = "Make one: openssl rand -hex 32"
            raise UsageError("the secret is too short", why=why, hint=hint)
        if self.external_url is not None and origin_of(self.external_url) is None:
            hint = "Write it as browsers do: https://calto.example.org"
            raise UsageError(f"--external-url {self.external_url!r} is no URL", hint=hint)
        if not self.guests and self.provider is None:
            why = "--no-guests leaves sign-in at a provider alone, and there is none"
            hint = "Give --oidc-client-id and --oidc-client-secret, or leave --no-guests out"
            raise UsageError("nobody could sign in", why=why, hint=hint)
        self._check_turn()

    def _check_turn(self) -> None:
        for uri in self.turn_uris:
            if not _TURN_URI.fullmatch(uri):
                hint = "Write it as browsers take it: turn:turn.example.org:3478?transport=udp"
                raise UsageError(f"--turn-uri {uri!r} is no TURN URI", hint=hint)
        if bool(self.turn_uris) != (self.turn_secret is not None):
            hint = "Give both or neither; the secret is the one that the TURN servers have"
            raise UsageError("--turn-uri and --turn-secret go together", hint=hint)
        if self.turn_secret is not None and self.turn_secret == self.secret:
            why = "who runs the TURN servers could sign in as anybody"
            hint = "Make one for each: openssl rand -hex 32"
            raise UsageError("--secret and --turn-secret are the same", why=why, hint=hint)

    @property
    def scheme(self) -> str:
        """What this process speaks itself."""
        return "http" if self.certificate is None else "https"


_TURN_URI = re.compile(
    r"turns?:(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(:\d{1,5})?(\?transport=(udp|tcp))?", re.I | re.ASCII
)
"""RFC 7065 §3.1; "{host}" is taken as a host, and stands for this server's."""

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Printable ASCII without the backslash: of others browsers make something else than we do."""


def is_own_path(url: str) -> bool:
    """Tell whether a URL leads to a page of this server, whoever reads it."""
    return url.startswith("/") and not url.startswith("//") and _PLAIN.fullmatch(url) is not None


def origin_of(url: str) -> str | None:
    """Return the origin of a URL as browsers write it; None: it has none."""
    if not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")
