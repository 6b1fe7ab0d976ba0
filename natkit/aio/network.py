"""This machine's sockets behind the `Network` seam.

Everything that depends on *where* a socket is made (making it, interfaces, routes, names) goes
through one thread runner. Give another runner, and the same class opens sockets in another
network namespace; once made, a socket stays there whichever thread uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

import ifaddr

from natkit.aio import routes
from natkit.aio.datagram import SocketDatagramEndpoint
from natkit.aio.listener import Listener
from natkit.aio.sockaddr import Scopes, address_family, canonical_ip, wildcard
from natkit.aio.streams import TLS_GOODBYE, SocketStreamEndpoint, client_context
from natkit.errors import NetworkUnreachable, UsageError
from natkit.machine import Instant, Seconds
from natkit.network import DatagramReceiver, Family, Interface, StreamHandler, Tls
from natkit.wire import TransportAddress

T = TypeVar("T")

_RECEIVE_BUFFER = 1 << 20  # bytes; the default 208 KiB overflows in a burst of small datagrams


class ThreadRunner(Protocol):
    """Runs a callable in some thread: `Executor.submit` is one."""

    def __call__(self, blocking: Callable[[], T], /) -> Future[T]:
        """Start `blocking` in the thread and return its future."""


class SocketNetwork:
    """The network as this machine, or the thread behind `in_thread`, sees it.

    Args:
        in_thread: where sockets are made and looked up; None: right here.
    """

    def __init__(self, *, in_thread: ThreadRunner | None = None) -> None:
        self._submit = in_thread
        self._scopes = Scopes(self._run)

    def now(self) -> Instant:
        """The event loop's clock, in seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, delay: Seconds) -> None:
        """Wait `delay` seconds."""
        await asyncio.sleep(delay)

    async def open_datagram(
        self,
        receiver: DatagramReceiver,
        *,
        local: TransportAddress | None = None,
        family: Family = Family.IPV4,
        interface: str | None = None,
    ) -> SocketDatagramEndpoint:
        """Bind a UDP socket: see `Network.open_datagram`.

        With `interface` it binds to that interface's first address, and on Linux also to the
        device, so that packets leave through it whatever the routing table prefers.
        """
        if local is None:
            local = wildcard(family) if interface is None else self._address_on(interface, family)
        bound = local
        sock = await self._placed(
            lambda: self._bound(socket.SOCK_DGRAM, bound, interface=interface)
        )
        endpoint = SocketDatagramEndpoint(sock, receiver, self._scopes)
        endpoint.start()
        return endpoint

    async def open_stream(
        self,
        remote: TransportAddress,
        *,
        tls: Tls | None = None,
        local: TransportAddress | None = None,
        patience: Seconds = 5.0,
    ) -> SocketStreamEndpoint:
        """Connect a TCP stream, with TLS on it where asked: see `Network.open_stream`."""
        family = Family.IPV6 if remote.is_ipv6 else Family.IPV4
        bound = wildcard(family) if local is None else local
        context = None if tls is None else await asyncio.to_thread(client_context, tls)
        sock = await self._placed(lambda: self._bound(socket.SOCK_STREAM, bound))
        try:
            async with asyncio.timeout(patience):
                await self._connect(sock, remote)
                reader, writer = await asyncio.open_connection(
                    sock=sock,
                    ssl=context,
                    server_hostname=None if tls is None else tls.server_name,
                    ssl_shutdown_timeout=None if tls is None else TLS_GOODBYE,
                )
        except OSError as error:  # TimeoutError and ssl.SSLError are among them
            why = f"no answer in {patience:g} s" if isinstance(error, TimeoutError) else str(error)
            raise NetworkUnreachable(f"cannot connect to {remote}", why=why) from error
        return SocketStreamEndpoint(reader, writer, self._scopes)

    async def listen_stream(
        self,
        handler: StreamHandler,
        *,
        local: TransportAddress,
        shared: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> Listener:
        """Run `handler(stream)` as a task for every connection: see `Network.listen_stream`.

        Args: tls: a server context; None: plain TCP.
        """
        if shared and not hasattr(socket, "SO_REUSEPORT"):
            raise NetworkUnreachable(
                f"cannot share the local address {local}", why="this system has no SO_REUSEPORT"
            )
        sock = await self._placed(
            lambda: self._bound(socket.SOCK_STREAM, local, listening=not shared)
        )
        listener = Listener(sock, handler, self._scopes)
        await listener.start(tls)
        return listener

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        """Return the addresses of `host` as the system's resolver orders them; empty: none."""
        try:
            literal = canonical_ip(host.strip("[]"))
        except ValueError:
            if self._submit is None:
                return await _abandonable(lambda: self._look_up(host, family))
            return await self.in_thread(lambda: self._look_up(host, family))
        return (literal,) if (":" in literal) == (family is Family.IPV6) else ()

    def interfaces(self) -> tuple[Interface, ...]:
        """Return every address of every interface that is up, loopback included."""
        return self._run(_interfaces)

    def source_for(self, remote: TransportAddress) -> str | None:
        """Return the local IP that packets to `remote` leave from; None: no route."""
        local = self._run(lambda: self._route_to(remote))
        return None if local is None else local.ip

    def gateways(self, family: Family) -> tuple[str, ...]:
        """Return the next hops of the default routes, best first; empty where unknown."""
        return self._run(lambda: routes.default_gateways(family))

    async def in_thread(self, blocking: Callable[[], T]) -> T:
        """Run `blocking` in a thread that lives in this network."""
        if self._submit is None:
            return await asyncio.to_thread(blocking)
        return await asyncio.wrap_future(self._submit(blocking))

    def _run(self, quick: Callable[[], T]) -> T:
        """Call `quick`, which must not wait for the network, in the right thread."""
        return quick() if self._submit is None else self._submit(quick).result()

    async def _placed(self, quick: Callable[[], T]) -> T:
        """Like `_run`, without holding up the event loop while that thread is busy."""
        return quick() if self._submit is None else await asyncio.wrap_future(self._submit(quick))

    async def _connect(self, sock: socket.socket, remote: TransportAddress) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(sock, self._scopes.to_socket(remote))
        except BaseException:
            sock.close()
            raise

    def _bound(
        self,
        kind: socket.SocketKind,
        local: TransportAddress,
        *,
        interface: str | None = None,
        listening: bool = False,
    ) -> socket.socket:
        family = Family.IPV6 if local.is_ipv6 else Family.IPV4
        try:
            sock = socket.socket(address_family(family), kind)
        except OSError as error:
            raise NetworkUnreachable(f"no IPv{family:d} here", why=str(error)) from error
        try:
            sock.setblocking(False)
            _set_options(sock, interface, listening)
            sock.bind(self._scopes.to_socket(local))
        except (OSError, OverflowError) as error:
            sock.close()
            raise NetworkUnreachable(
                f"cannot use the local address {local}", why=str(error)
            ) from error
        return sock

    def _address_on(self, interface: str, family: Family) -> TransportAddress:
        named = [entry for entry in self.interfaces() if entry.name == interface]
        if not named:
            known = ", ".join(dict.fromkeys(entry.name for entry in self.interfaces()))
            raise UsageError(f"no interface is called {interface!r}", hint=f"There are: {known}")
        wanted = [entry.ip for entry in named if (":" in entry.ip) == (family is Family.IPV6)]
        if not wanted:
            raise NetworkUnreachable(f"interface {interface} has no IPv{family:d} address")
        # A link-local address reaches nobody beyond the link: only where there is no other.
        best = min(wanted, key=lambda ip: ip.lower().startswith("fe80:"))
        return TransportAddress(f"{best}%{interface}" if best.startswith("fe80:") else best, 0)

    def _look_up(self, host: str, family: Family) -> tuple[str, ...]:
        try:
            found = socket.getaddrinfo(
                host, None, family=address_family(family), type=socket.SOCK_DGRAM
            )
        except (OSError, UnicodeError):
            return ()
        addresses = (self._scopes.from_socket(sockaddr).ip for *_, sockaddr in found)
        return tuple(dict.fromkeys(addresses))

    def _route_to(self, remote: TransportAddress) -> TransportAddress | None:
        """Ask the routing table by connecting a UDP socket, which sends nothing."""
        family = Family.IPV6 if remote.is_ipv6 else Family.IPV4
        try:
            with socket.socket(address_family(family), socket.SOCK_DGRAM) as sock:
                sock.connect(self._scopes.to_socket(remote))
                return self._scopes.from_socket(sock.getsockname())
        except OSError:
            return None


async def _abandonable(blocking: Callable[[], T]) -> T:
    """Run `blocking` in a thread that nobody waits for after this was cancelled.

    The executor of `asyncio.to_thread` is waited for when the event loop ends, and no look-up can
    be broken off: with a dead DNS, Ctrl-C would take as long as the system's resolver tries.
    """
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(blocking())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="natkit look-up", daemon=True).start()
    return await asyncio.wrap_future(future)


def _set_options(sock: socket.socket, interface: str | None, listening: bool) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if sock.type == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    elif not (listening and sys.platform == "win32"):  # another program could take the port over
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.type == socket.SOCK_STREAM and not listening and hasattr(socket, "SO_REUSEPORT"):
        # Several connections from one local port, to see how a NAT maps TCP.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if interface is not None and sys.platform == "linux":
        with contextlib.suppress(PermissionError):  # before Linux 5.7 this was root's alone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())


def _interfaces() -> tuple[Interface, ...]:
    found = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            ip = address.ip if isinstance(address.ip, str) else address.ip[0]
            found.append(Interface(adapter.nice_name, canonical_ip(ip), address.network_prefix))
    return tuple(found)
