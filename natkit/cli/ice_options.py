"""The options of commands that use ICE: servers and how to log in, and which candidates."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from natkit.aio.connection import TransportPolicy
from natkit.aio.ice_servers import ServerName, TurnServer
from natkit.aio.network import SocketNetwork
from natkit.cli.common import typed
from natkit.cli.turn_check import given_login, login_options, trust_in
from natkit.errors import UsageError
from natkit.ice.candidate import TcpType
from natkit.network import Network
from natkit.tools.probe import DEFAULT_SERVERS
from natkit.tools.stun import Trust

_POLICIES = {
    "all": TransportPolicy.ALL,
    "relay": TransportPolicy.RELAY,
    "no-relay": TransportPolicy.NO_RELAY,
}

_OPTIONS = (
    click.option("--stun", multiple=True, metavar="URI", help="STUN server; may be repeated."),
    click.option("--turn", multiple=True, metavar="URI", help="TURN server; may be repeated."),
    login_options,
    click.option(
        "--policy",
        type=click.Choice(list(_POLICIES)),
        default="all",
        show_default=True,
        help="Which candidates to gather.",
    ),
    click.option(
        "--interface", multiple=True, metavar="NAME", help="Use this interface; may be repeated."
    ),
    click.option(
        "--tcp",
        multiple=True,
        type=click.Choice([kind.value for kind in TcpType]),
        help="Offer candidates over TCP, too; may be repeated.",
    ),
    click.option(
        "--port-mapping",
        is_flag=True,
        help="Ask the gateway for an outside port, too: PCP, NAT-PMP, UPnP. It is given back.",
    ),
)


@dataclass(frozen=True, slots=True)
class IceServers:
    """What the options say.

    Attributes:
        interfaces: None: the usual ones.
        tcp:        which candidates over TCP to offer.
        port_mapping: ask the gateway for an outside port.
        trust:      whose certificates to believe, of servers over TLS.
    """

    stun: Sequence[ServerName]
    turn: tuple[TurnServer, ...]
    policy: TransportPolicy
    interfaces: Sequence[str] | None
    tcp: tuple[TcpType, ...]
    port_mapping: bool
    trust: Trust


def ice_options(command: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    """Give a command these options, passed to it as `servers: IceServers`.

    Raises (when it runs): UsageError: they make no sense.
    """

    @functools.wraps(command)
    async def with_servers(
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
        **others: Any,
    ) -> int:
        login = given_login(username, password, secret).login
        trust = trust_in(ca_file, insecure)
        servers = tuple(
            TurnServer(
                uri,
                None if login is None else login.username,
                None if login is None else login.password,
                trust.verify,
                trust.ca_file,
            )
            for uri in turn
        )
        if policy == "relay" and not servers:
            raise UsageError("--policy relay needs a TURN server", hint="Give one with --turn")
        if not servers and (unused := typed("username", "password", "secret")):
            hint = "Give one with --turn, or leave the login out"
            raise UsageError(f"{unused[0]} is for a TURN server, and there is none", hint=hint)
        names = _known(SocketNetwork(), interface) if interface else None
        chosen = IceServers(
            stun or DEFAULT_SERVERS[-2:],
            servers,
            _POLICIES[policy],
            names,
            tuple(map(TcpType, tcp)),
            port_mapping,
            trust,
        )
        return await command(servers=chosen, **others)

    for option in reversed(_OPTIONS):
        with_servers = option(with_servers)
    return with_servers


def _known(network: Network, names: Sequence[str]) -> Sequence[str]:
    """Return the names. Raises: UsageError: one is no interface's."""
    there = list(dict.fromkeys(entry.name for entry in network.interfaces()))
    for name in names:
        if name not in there:
            hint = f"There are: {', '.join(there)}"
            raise UsageError(f"no interface is called {name!r}", hint=hint)
    return names
