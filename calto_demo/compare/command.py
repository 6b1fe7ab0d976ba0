"""`calto compare`: make the same call directly and through a relay, and tell the difference."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from natkit import (
    DURATION,
    NEW_FILE,
    SHARE,
    Command,
    Number,
    Progress,
    Unsupported,
    UsageError,
    emit_json,
    json_option,
    typed,
    write_new,
)

LONGEST = 24 * 3600.0
"""Seconds of a call: samples are kept, two a second."""


@click.command(cls=Command)
@click.option(
    "--lab",
    "pair",
    metavar="A-vs-B",
    help="Between two homes of natkit's lab, of the kinds of `natkit lab matrix` or home, the "
    "usual one: home-vs-symmetric.  [default: on this machine]",
)
@click.option(
    "--backend",
    type=click.Choice(["sim", "netns"]),
    default="sim",
    show_default=True,
    help="With --lab: a simulation on a clock that jumps, or real Linux NATs (as root).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --lab: of chance.")
@click.option(
    "--loss", type=SHARE, default="0%", show_default=True, help="With --lab: on each home's line."
)
@click.option(
    "--relay-away",
    type=DURATION,
    default="20ms",
    show_default=True,
    help="With --backend sim alone: how far the relay is from the middle of the internet.",
)
@click.option(
    "--for", "seconds", type=DURATION, default="5s", show_default=True, help="How long to talk."
)
@click.option(
    "--price",
    type=Number(0, 1e6),
    help="What a gigabyte through the relay costs, in any currency.",
)
@click.option("--html", "page", type=NEW_FILE, metavar="FILE", help="Write a page, too.")
@json_option
def compare(
    pair: str | None,
    backend: str,
    seed: int,
    loss: float,
    relay_away: float,
    seconds: float,
    price: float | None,
    page: Path | None,
    as_json: bool,
) -> int:
    """Make the same call twice, directly and through a relay, and tell the difference.

    Both ends are headless peers that send each other a tone: Opus over DTLS-SRTP on natkit's ICE.
    Set-up, round trip, jitter, loss and bitrate are those that the caller measures. The exit code
    is 0 where one of the ways works, 1 where none does.
    """
    try:
        from calto_demo.compare.places import Lab, ThisMachine
        from calto_demo.compare.run import compare as run
    except ModuleNotFoundError as error:
        raise Unsupported(
            "calls need aiortc", why=str(error), hint="pip install 'natkit[calls]'"
        ) from error
    from calto_demo.compare.page import as_page
    from calto_demo.compare.text import as_text

    if pair is None and (unused := typed("backend", "seed", "loss", "relay_away")):
        hint = "Give --lab A-vs-B, as home-vs-symmetric, or leave it out"
        raise UsageError(f"{unused[0]} needs --lab", hint=hint)
    if backend == "netns" and typed("relay_away"):
        hint = "Leave it out, or use --backend sim"
        why = "real NATs in namespaces have no delays"
        raise UsageError("--relay-away needs the simulator", why=why, hint=hint)
    if seconds > LONGEST:
        raise UsageError("--for is too long", hint=f"Give --for {LONGEST / 3600:g}h or less")
    lab = None if pair is None else Lab(pair, backend, seed, loss, relay_away)
    with Progress() as progress:
        found = run(lab or ThisMachine(), seconds, price, progress.say)
    if as_json:
        emit_json(found.as_json())
    else:
        click.echo(as_text(found, min(100, shutil.get_terminal_size((100, 24)).columns)))
    if page is not None:
        write_new(page, as_page(found))
    return int({found.direct.path, found.relay.path} == {"failed"})
