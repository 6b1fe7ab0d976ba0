"""What this machine can do for natkit: each ability tried, with what was found and a mend.

Nothing leaves the machine but a question to its name server: sockets are tried on loopback, and
routes are looked up and not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import DatagramReceiver, Family, IcmpError, Network
from natkit.tools.lookup import RESOLVE_BUDGET
from natkit.tools.probe import DEFAULT_SERVERS, STUN_PORT
from natkit.tools.relay_fast_path import refusal as fast_path_refusal
from natkit.wire import TransportAddress

_PATIENCE: Seconds = 0.5  # loopback answers in microseconds; a loaded machine may take a while

_LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
_ELSEWHERE = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
"""Addresses for documentation (RFC 5737, RFC 3849), whose routes are looked up."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One ability.

    Attributes:
        area:   what it is for: "probe", "serve" or "relay" here; the command line adds "lab".
        name:   the ability, in a few words.
        able:   whether this machine has it.
        found:  what was seen.
        mend:   what to do when it is missing; None: nothing, or nothing is missing.
        needed: False: the area works without it, only with less.
    """

    area: str
    name: str
    able: bool
    found: str
    mend: str | None = None
    needed: bool = True


async def examine(network: Network) -> tuple[Finding, ...]:
    """Try everything that the probe and the servers use, on `network`.

    Takes some milliseconds, 4 s at most where sockets and the name server are silent; never raises
    for what is missing.
    """
    names = await _names(network)
    udp4 = await _udp(network, Family.IPV4)
    udp6 = await _udp(network, Family.IPV6)
    icmp = await _icmp_errors(network)
    port = await _stun_port(network)
    system = Finding("probe", "Python", True, f"{platform.python_version()} on {platform.system()}")
    routes = _routes(network)
    extras = (*_extras(), port, _fast_path())
    return (system, udp4, udp6, *routes, names, icmp, _gateway(network), *extras)


class _Heard(DatagramReceiver):
    """Remembers what came in first."""

    def __init__(self) -> None:
        self._first: asyncio.Future[bytes | IcmpError] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:  # noqa: ARG002 - the protocol's signature
        self._settle(data)

    def error_received(self, error: IcmpError) -> None:
        self._settle(error)

    def _settle(self, value: bytes | IcmpError) -> None:
        if not self._first.done():
            self._first.set_result(value)

    async def first(self) -> bytes | IcmpError | None:
        """Return what came first; None when nothing did in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                return await self._first
        return None


async def _udp(network: Network, family: Family) -> Finding:
    name, needed = f"UDP sockets, {_label(family)}", family is Family.IPV4
    mend = "Look whether a firewall or a sandbox forbids UDP on loopback" if needed else None
    heard = _Heard()
    try:
        local = TransportAddress(_LOOPBACK[family], 0)
        endpoint = await network.open_datagram(heard, local=local)
    except NetworkUnreachable as error:
        return Finding("probe", name, False, str(error), mend, needed)
    try:
        endpoint.send(b"natkit", endpoint.local)
        echoed = await heard.first() == b"natkit"
    finally:
        endpoint.close()
    if echoed:
        return Finding("probe", name, True, f"{local.ip} hears itself", None, needed)
    return Finding("probe", name, False, f"{local.ip} does not hear itself", mend, needed)


def _routes(network: Network) -> tuple[Finding, ...]:
    """Look up a route for each IP version; one of them has to be there."""
    sources = {
        family: network.source_for(TransportAddress(remote, STUN_PORT))
        for family, remote in _ELSEWHERE.items()
    }
    needed = not any(sources.values())
    return tuple(_route(family, source, needed) for family, source in sources.items())


def _route(family: Family, source: str | None, needed: bool) -> Finding:
    name = f"route to the internet, {_label(family)}"
    if source is not None:
        return Finding("probe", name, True, f"leaves from {source}", None, needed)
    mend = f"Without it the probe says nothing of {_label(family)}; connect to a network"
    if family is Family.IPV6:
        mend += " that has it"
    return Finding("probe", name, False, "no route", mend, needed)


async def _names(network: Network) -> Finding:
    """Resolve the names of two servers that `natkit probe` asks; one of them may have gone."""
    name = "names of STUN servers"
    hosts = [host for host, _ in DEFAULT_SERVERS[-2:]]
    resolved = await asyncio.gather(*(_resolved(network, host) for host in hosts))
    for host, ips in zip(hosts, resolved, strict=True):
        if ips:
            return Finding("probe", name, True, f"{host} is {ips[0]}", needed=False)
    found = f"neither {' nor '.join(hosts)} resolves"
    mend = "Mend the name server's setting, or name servers by address: natkit probe --server IP"
    return Finding("probe", name, False, found, mend, needed=False)


async def _resolved(network: Network, host: str) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(RESOLVE_BUDGET):
            return await network.resolve(host, Family.IPV4)
    except TimeoutError:
        return ()


async def _icmp_errors(network: Network) -> Finding:
    """A port that nobody listens on must answer with an ICMP error that names who sent it."""
    name = "ICMP errors with their sender"
    nobody, heard = _Heard(), _Heard()
    local = TransportAddress(_LOOPBACK[Family.IPV4], 0)
    mend = "Linux has them; elsewhere the layers of NAT are told by port mapping alone"
    try:
        unused = await network.open_datagram(nobody, local=local)
        unused.close()
        endpoint = await network.open_datagram(heard, local=local)
    except NetworkUnreachable as error:
        return Finding("probe", name, False, str(error), None, needed=False)
    try:
        endpoint.send(b"natkit", unused.local)
        answer = await heard.first()
    finally:
        endpoint.close()
    if isinstance(answer, IcmpError) and answer.reporter is not None:
        return Finding("probe", name, True, "read from the error queue", None, needed=False)
    return Finding("probe", name, False, "the system hides them", mend, needed=False)


def _gateway(network: Network) -> Finding:
    name = "address of the router"
    gateways = network.gateways(Family.IPV4)
    if gateways:
        return Finding("probe", name, True, ", ".join(gateways), None, needed=False)
    mend = "Without it the probe cannot ask the router for port mappings"
    return Finding("probe", name, False, "no default route for IPv4", mend, needed=False)


def _extras() -> Iterator[Finding]:
    for package, use, extra in (("miniupnpc", "UPnP-IGD port mapping", "upnp"),):
        installed = importlib.util.find_spec(package) is not None
        found = f"{package} is {'' if installed else 'not '}installed"
        mend = None if installed else f"In natkit's clone: pip install '.[{extra}]'"
        yield Finding("probe", use, installed, found, mend, needed=False)


async def _stun_port(network: Network) -> Finding:
    name = f"UDP port {STUN_PORT}"
    try:
        local = TransportAddress("0.0.0.0", STUN_PORT)
        endpoint = await network.open_datagram(_Heard(), local=local)
    except NetworkUnreachable as error:
        mend = "Stop the server that has it, or serve on another port: --listen 0.0.0.0:3479"
        return Finding("serve", name, False, str(error), mend, needed=False)
    endpoint.close()
    return Finding("serve", name, True, "free")


def _fast_path() -> Finding:
    """Have the kernel take the program, and forget it again."""
    name = "relaying in the kernel"
    why_not = fast_path_refusal()
    if why_not is None:
        found = "natkit turn serve --fast-path auto; xdp:IFACE for the driver's own way"
        return Finding("relay", name, True, found, needed=False)
    return Finding("relay", name, False, why_not, needed=False)


def _label(family: Family) -> str:
    return f"IPv{family.value}"
