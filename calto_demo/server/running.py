"""A server from its start to its end: HTTP, the relay, the echo contact, and what is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from calto_demo.server.app import make_app
from calto_demo.server.frames import LONGEST_FRAME
from calto_demo.server.relay import open_relay, own_address
from calto_demo.server.services import ECHO, Services, open_services
from calto_demo.server.settings import Settings
from natkit import NetworkUnreachable, collect_less

if TYPE_CHECKING:
    from calto_demo.server.echo import Echo

GONE = 1001
"""What sockets are closed with when the server stops (RFC 6455 §7.4.1); clients connect again."""

_log = logging.getLogger("calto")


@dataclass(slots=True)
class Server:
    """A running server. Attributes: url: its own, with the real port."""

    services: Services
    url: str
    web: Web
    ended: asyncio.Task[None]

    async def stop(self) -> None:
        """End every socket, and serve no more."""
        self.services.hub.close(GONE, "the server stops")
        self.web.should_exit = True
        await self.ended

    def drain(self) -> None:
        """Take no new calls."""
        self.services.switchboard.draining = True


class Web(uvicorn.Server):
    """uvicorn, which tells when it serves, and leaves signals to us. Attributes: ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self.ready.set()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # any context manager will do
        """Leave them alone."""
        return contextlib.nullcontext()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Server]:
    """Run a server until the block ends.

    Raises: NatkitError: an address cannot be had, or the database or Redis cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        listening = stack.enter_context(_bound(settings))
        services = await open_services(settings)
        stack.push_async_callback(services.close)
        if not settings.turn_uris:
            relay = await open_relay(settings, services.ice.secret, services.metrics)
            stack.push_async_callback(relay.relay.close)
            services.ice.turn, services.ice.stun = relay.turn, relay.stun
        if settings.echo:
            echo = await _echo(services)
            stack.push_async_callback(echo.leave)
        keeping = asyncio.create_task(services.keep_going())
        stack.push_async_callback(_end, keeping)
        web = _web(services)
        port = listening.getsockname()[1]
        host = "localhost" if settings.host in _EVERYWHERE else settings.host
        shown = f"[{host}]" if ":" in host else host
        url = f"{settings.scheme}://{shown}:{port}"
        server = Server(services, url, web, asyncio.create_task(web.serve([listening])))
        stack.push_async_callback(server.stop)
        await web.ready.wait()
        yield server


_EVERYWHERE = ("0.0.0.0", "::", "127.0.0.1", "::1")


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        where = f"{settings.host}, port {settings.port}"
        hint = "Give another one: --listen 127.0.0.1:8001"
        raise NetworkUnreachable(
            f"cannot listen on {where}", why=error.strerror, hint=hint
        ) from None
    return sock


def _web(services: Services) -> Web:
    certificate = services.settings.certificate
    config = uvicorn.Config(
        make_app(services),
        ws="websockets-sansio",
        ws_max_size=LONGEST_FRAME,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # clients give signs of life themselves, every ten seconds
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        ssl_certfile=None if certificate is None else str(certificate.chain),
        ssl_keyfile=None if certificate is None or certificate.key is None else certificate.key,
    )
    return Web(config)


async def _echo(services: Services) -> Echo:
    from calto_demo.server.echo import Echo  # brings aiortc, which takes a quarter of a second

    user = await services.people.get(ECHO)
    echo = Echo(services, user, own_address(services.settings.host))
    await echo.open()
    return echo


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serve(settings: Settings, say: Callable[[Server], None]) -> None:
    """Run a server until SIGINT or SIGTERM: then calls have time to end; a second one ends it."""
    stopping: asyncio.Queue[None] = asyncio.Queue()
    async with running(settings) as server:
        _on_signals(lambda: stopping.put_nowait(None))
        collect_less()
        say(server)
        stop = asyncio.create_task(stopping.get())
        await asyncio.wait([stop, server.ended], return_when=asyncio.FIRST_COMPLETED)
        server.drain()
        _log.info("draining")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain):
                again = asyncio.create_task(stopping.get())
                idle = asyncio.create_task(_idle(server.services))
                await asyncio.wait([again, idle], return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopped")


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


async def _idle(services: Services) -> None:
    """Wait until nobody is in a call. Media goes on without us, a relayed one does not."""
    while await services.ledger.live():  # noqa: ASYNC110 - other processes end calls, too
        await asyncio.sleep(0.2)
