"""`calto call` and `calto answer`: a headless peer at a Calto server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from natkit import DURATION, Command, Progress, emit_json, json_option

if TYPE_CHECKING:
    from calto_demo.peer.audio import Source
    from calto_demo.peer.session import Session

Json = dict[str, Any]

F = TypeVar("F", bound=Callable[..., Any])

server_option = click.option(
    "--server", default="http://127.0.0.1:8000", show_default=True, metavar="URL"
)
ca_option = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust this certificate (PEM): of a server with --tls self-signed.",
)
path_option = click.option(
    "--path",
    type=click.Choice(["auto", "direct", "relay"]),
    default="auto",
    show_default=True,
    help="Which way to take; relay hides this side's address.",
)
audio_option = click.option(
    "--audio",
    metavar="FILE|tone|mic|silence",
    default="tone",
    show_default=True,
    help="What to say: a sound file, a tone of 500 Hz, or the microphone.",
)
record_option = click.option(
    "--record", type=click.Path(dir_okay=False, path_type=Path), help="Write what comes to a WAV."
)


@click.command(cls=Command)
@click.argument("user")
@server_option
@ca_option
@click.option("--name", default="calto call", show_default=True, help="Who is calling.")
@audio_option
@record_option
@path_option
@click.option(
    "--for", "seconds", type=DURATION, default="10s", show_default=True, help="How long to talk."
)
@json_option
async def call(
    user: str,
    server: str,
    ca: Path | None,
    name: str,
    audio: str,
    record: Path | None,
    path: str,
    seconds: float,
    as_json: bool,
) -> int:
    """Call USER, an id or a name ("Echo"), talk, and tell which way the call went.

    The exit code is 0 where audio came, 1 where there is no microphone, 2 where an option or USER
    makes no sense, 3 where there was no call.
    """
    from calto_demo.peer.account import Account
    from calto_demo.peer.audio import check_recording
    from calto_demo.peer.conversation import as_text, place_call, source_of
    from calto_demo.peer.session import open_session

    source = source_of(audio)
    if record is not None:
        check_recording(record)
    with Progress() as progress:
        async with Account(server, ca) as account:
            await account.sign_in(name)
            person = await account.find(user)
            async with open_session(account) as session:
                found = await place_call(
                    account,
                    session,
                    person,
                    source=source,
                    record=record,
                    path=path,
                    seconds=seconds,
                    say=progress.say,
                )
    emit_json(found) if as_json else click.echo(as_text(found))
    return 0


@click.command(cls=Command)
@server_option
@ca_option
@click.option("--name", default="calto answer", show_default=True, help="Who answers.")
@click.option("--echo", is_flag=True, help="Send back what is heard, in place of --audio.")
@audio_option
@record_option
@path_option
@click.option("--once", is_flag=True, help="End after one call.")
@json_option
async def answer(
    server: str,
    ca: Path | None,
    name: str,
    echo: bool,
    audio: str,
    record: Path | None,
    path: str,
    once: bool,
    as_json: bool,
) -> int:
    """Wait for calls, accept each, and tell which way it went, until Ctrl-C.

    With --json there is a line of JSON for each call. A call that comes to nothing is told on
    stderr, and the next one is waited for; with --once the exit code is 3 then. It is 1 at once
    where there is no microphone, 2 where an option makes no sense, or a file cannot be played or
    written.
    """
    from calto_demo.peer.account import Account
    from calto_demo.peer.audio import Echo, check_recording
    from calto_demo.peer.conversation import sources_of, take_call
    from calto_demo.peer.session import open_session

    source: Callable[[], Source] = Echo if echo else sources_of(audio)
    if record is not None:
        check_recording(record)

    async def taken(account: Account, session: Session, incoming: Json) -> Json:
        says = source()
        hears = says if isinstance(says, Echo) else None
        return await take_call(
            account, session, incoming, source=says, sink=hears, record=record, path=path
        )

    async with Account(server, ca) as account:
        await account.sign_in(name)
        async with open_session(account) as session:
            click.echo(f"{name} ({account.me['id']}) waits for calls at {account.url}", err=True)
            async for incoming in session.incoming():
                caller = incoming["peer"]["name"]
                taking = taken(account, session, incoming)
                await _tell(taking, caller, once=once, as_json=as_json)
                if once:
                    break
    return 0


async def _tell(taking: Awaitable[Json], caller: str, *, once: bool, as_json: bool) -> None:
    """Print what comes of a call. Raises: CallFailed, ServerRefused: it came to nothing, `once`."""
    from calto_demo.negotiation import CallFailed
    from calto_demo.peer.account import ServerRefused
    from calto_demo.peer.conversation import as_text

    try:
        found = await taking
    except (CallFailed, ServerRefused) as error:
        if once:
            raise
        click.echo(f"Call from {caller}: {error}", err=True)
    else:
        emit_json(found, compact=True) if as_json else click.echo(as_text(found))
