"""How the two of `natkit connect` reach each other: a rendezvous, here or elsewhere, or by hand."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import click

from natkit.aio.network import SocketNetwork
from natkit.aio.rendezvous import PORT, Meeting, Rendezvous
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.rendezvous.code import Code
from natkit.tools.connect_manual import Pasting
from natkit.tools.connect_talk import Signalling
from natkit.tools.rendezvous_serve import serve
from natkit.tools.stun import Trust
from natkit.wire import TransportAddress

_HERE = TransportAddress("127.0.0.1", PORT)


def to_stderr(text: str) -> None:
    """Print what is no data."""
    click.echo(text, err=True)


@asynccontextmanager
async def by_code(
    network: SocketNetwork,
    code: Code | None,
    url: str | None,
    trust: Trust,
    say: Callable[[str], None],
) -> AsyncIterator[Signalling]:
    """Meet at a rendezvous.

    Args:   code: None: draw one, and show it.
            url:  None: on this machine; where there is none, run one meanwhile.
            say:  shows a text.
    Raises: NatkitError: it is not there, or does not want us.
    """
    where = Rendezvous.parse(url or f"http://{_HERE}", verify=trust.verify, ca_file=trust.ca_file)
    if code is not None:
        yield await _joined(network, where, code, here=url is None)
    elif url is not None:
        yield await _hosted(network, where, f"--rendezvous {url} ", say)
    else:
        async with _rendezvous_here(network) as own:
            meeting = await _hosted(network, where, "", say)
            say(_HERE_ALONE.format("in this command" if own else "which runs"))
            yield meeting


_HERE_ALONE = f"""\
That works on this machine alone: the rendezvous is http://{_HERE}, {{}}.
For two machines run natkit rendezvous serve where both reach it, and give both
--rendezvous URL."""


async def _hosted(
    network: SocketNetwork, where: Rendezvous, options: str, say: Callable[[str], None]
) -> Meeting:
    code = Code.draw(secrets.token_bytes)
    meeting = await Meeting.host(network, where, code, secrets.token_bytes)
    say(f"code: {click.style(str(code), bold=True)}\n")
    say(f"The other side runs: natkit connect {options}{code}")
    say("The code is good for ten minutes, and for one peer.")
    return meeting


async def _joined(network: SocketNetwork, where: Rendezvous, code: Code, *, here: bool) -> Meeting:
    try:
        return await Meeting.join(network, where, code, secrets.token_bytes)
    except NetworkUnreachable as error:
        if not here:
            raise
        hint = "Run natkit connect on this machine first, or give the --rendezvous of the other"
        raise NetworkUnreachable(
            "nobody waits on this machine", why=error.what, hint=hint
        ) from None


@asynccontextmanager
async def _rendezvous_here(network: SocketNetwork) -> AsyncIterator[bool]:
    """Run a rendezvous on this machine, unless something has its port; yields whether it does."""
    try:
        service = await serve(network, [_HERE])
    except NetworkUnreachable:
        yield False
        return
    try:
        yield True
    finally:
        await service.close()


@asynccontextmanager
async def by_hand(say: Callable[[str], None]) -> AsyncIterator[Signalling]:
    """Show a line, and read one from stdin."""

    def show(line: str) -> None:
        say(f"Give the other side this line:\n\n{line}\n\nand paste theirs:")

    def complain(error: NatkitError) -> None:
        to_stderr(f"{error}. Paste the other side's line:")

    yield Pasting(show, _lines(), complain)


def _lines() -> Callable[[], Awaitable[str]]:
    """Return what reads the next line of stdin; Ctrl-C does not have to wait for one."""
    rest = b""

    def read() -> bytes:
        # Not sys.stdin: Python would wait at exit for a thread that holds its lock.
        nonlocal rest
        while b"\n" not in rest and (data := os.read(0, 65536)):
            rest += data
        line, newline, rest = rest.partition(b"\n")
        return line + newline

    async def next_line() -> str:
        loop = asyncio.get_running_loop()
        line: asyncio.Future[bytes] = loop.create_future()

        def came(data: bytes) -> None:
            if not line.done():
                line.set_result(data)

        def run() -> None:
            data = read()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(came, data)

        threading.Thread(target=run, name="natkit stdin", daemon=True).start()
        return (await line).decode(errors="replace")

    return next_line
