"""What every command shares: error reporting, exit codes, the common options, async callbacks.

A command is a click command of class `Command` (a group: `Group`). It raises `NatkitError` for
what can go wrong; `Root.main` words it on stderr, or as JSON on stdout, and ends with the error's
exit code. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource
from click.exceptions import Abort

from natkit.errors import NatkitError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

FINE, FAILURE, INTERRUPTED = 0, 1, 130
"""Exit codes that no error class owns; the others are each `NatkitError.exit_code`."""


def colour_wanted(choice: str) -> bool | None:
    """Return whether to colour: True, False, or None to let each stream's terminal decide.

    Args: choice: "auto", "always" or "never"; auto honours NO_COLOR, FORCE_COLOR, TERM=dumb.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


@dataclass(slots=True)
class Session:
    """What the options of one run of the command line said about reporting.

    Attributes:
        program:   its name.
        json:      data, and so errors too, are JSON on stdout.
        emitted:   JSON data went out; an error after it goes to stderr, so that stdout stays one
                   document.
        traceback: show where an error came from.
        colour:    colour the errors; None: if stderr is a terminal.
    """

    program: str = "natkit"
    json: bool = False
    emitted: bool = False
    traceback: bool = False
    colour: bool | None = field(default_factory=lambda: colour_wanted("auto"))

    @classmethod
    def current(cls) -> Session:
        """Return the running command's session; a fresh one outside of any command."""
        context = click.get_current_context(silent=True)
        return context.ensure_object(cls) if context is not None else cls()


def _set_colour(context: click.Context, _parameter: click.Parameter, choice: str) -> None:
    context.color = context.ensure_object(Session).colour = colour_wanted(choice)


def _set_traceback(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    session = context.ensure_object(Session)
    session.traceback = session.traceback or wanted


def _set_json(context: click.Context, _parameter: click.Parameter, wanted: bool) -> bool:
    session = context.ensure_object(Session)
    session.json = session.json or wanted
    return wanted


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            is_eager=True,
            expose_value=False,
            callback=_set_colour,
            help="Colour the output; NO_COLOR is honoured.",
        ),
        click.Option(
            ["--traceback"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_traceback,
            help="Show where an error came from.",
        ),
    ]


def json_option(command: F) -> F:
    """Give a command `--json`, passed to it as `as_json: bool`."""
    option = click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_set_json,
        help="Print JSON on stdout, errors too.",
    )
    return option(command)


def one_form(as_json: bool, jsonl: bool) -> None:
    """Note that data, and so errors too, are JSON. Raises: UsageError: two forms are asked for."""
    Session.current().json = as_json or jsonl
    if as_json and jsonl:
        raise UsageError("--json and --jsonl are two forms of the same", hint="Give one of them")


def typed(*names: str) -> list[str]:
    """Return which of these options the running command was given by hand, as it is written.

    A variable is a standing default: it may be set for runs that have no use for it.
    """
    context = click.get_current_context()
    return [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in names
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def emit_json(value: object, *, compact: bool = False) -> None:
    """Print `value` as one JSON document on stdout.

    Args: compact: one line, for streams of documents (`--jsonl`).
    """
    Session.current().emitted = True
    click.echo(json.dumps(value, indent=None if compact else 2, ensure_ascii=False))


class HelpFormatter(click.HelpFormatter):
    """click's help with the eye drawn to the headings."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line."""
        super().write_usage(prog, args, prefix or click.style("Usage: ", bold=True))

    def write_heading(self, heading: str) -> None:
        """Write the heading of a list."""
        super().write_heading(click.style(heading, bold=True))


class Context(click.Context):
    """A context whose help is ours."""

    formatter_class = HelpFormatter


class Command(click.Command):
    """A command with the common options, whose callback may be `async def`."""

    context_class = Context

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; each option can also come from a variable: NATKIT_<COMMAND>_<OPTION>."""
        # click would name the variable after the callback's argument ("as_json").
        prefix = ctx.auto_envvar_prefix
        for option in self.params if prefix is not None else ():
            if isinstance(option, click.Option) and option.envvar is None:
                longest = max(option.opts, key=len).lstrip("-").replace("-", "_")
                option.envvar = f"{prefix}_{longest}".upper()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the callback, an async one in an event loop of its own."""
        result = super().invoke(ctx)
        if inspect.iscoroutine(result):
            import asyncio  # here because it costs 25 ms, and `--help` needs none of it

            return asyncio.run(result)
        return result


class Group(click.Group):
    """A group whose sub-commands are `Command`s."""

    context_class = Context
    command_class = Command


Group.group_class = Group


class Root(Group):
    """The outermost group: it words errors and sets the exit code."""

    def main(  # type: ignore[override]  # it always exits, so it has no standalone_mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command line `args` (None: this process's) and exit with its code."""
        words = list(sys.argv[1:] if args is None else args)
        session = Session(self.name or "natkit")
        extra.pop("standalone_mode", None)
        if sys.stdout is None:  # what Python makes of a descriptor 1 that is closed
            _report(_unwritable("it is closed"), session.colour)
            sys.exit(FAILURE)
        try:
            result = super().main(
                words, prog_name or session.program, standalone_mode=False, obj=session, **extra
            )
            sys.stdout.flush()
            sys.exit(result if isinstance(result, int) else FINE)
        except BrokenPipeError:
            _leave_quietly()
        except Abort:
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            session.json = session.json or _asks_for_json(words)
            _fail(_as_natkit_error(error), session)
        except OSError as error:
            why = _why_stdout_fails()
            if why is None:
                _fail(error, session)
            _report(_unwritable(why), session.colour)
            _leave_quietly()
        except Exception as error:
            _fail(error, session)


def _asks_for_json(words: Sequence[str]) -> bool:
    # A usage error can come before any option was processed, so look at the words themselves.
    return any(word in ("--json", "--jsonl") for word in words)


def _as_natkit_error(error: click.ClickException) -> NatkitError:
    context = getattr(error, "ctx", None)
    hint = f"Try: {context.command_path} --help" if context is not None else None
    return UsageError(error.format_message().rstrip("."), hint=hint)


def _fail(error: Exception, session: Session) -> NoReturn:
    """Report `error` and exit with its code."""
    if session.traceback:
        traceback.print_exception(error)
    expected = error if isinstance(error, NatkitError) else _shortage(error) or _bug(error, session)
    if session.json and not session.emitted:
        click.echo(json.dumps({"error": error_as_json(expected)}, indent=2, ensure_ascii=False))
    else:
        _report(expected, session.colour)
    sys.exit(expected.exit_code)


def _shortage(error: Exception) -> NatkitError | None:
    """Word that a limit on descriptors was met, wherever that was; None: it is something else."""
    if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    hint = "See the limit with `ulimit -n`, and raise it (systemd: LimitNOFILE)"
    if error.errno == errno.ENFILE:
        hint = "The whole machine has no more: raise the sysctl fs.file-max"
    return NatkitError(
        "natkit may not open as many files and sockets as this takes", why=error.strerror, hint=hint
    )


def _bug(error: Exception, session: Session) -> NatkitError:
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({where[-1].name}, line {where[-1].lineno})" if where else ""
    why = f"{type(error).__name__}: {error}{place}"
    hint = "Please report it with the command and what this printed"
    if not session.traceback:
        hint = "Please report it with the command and what `--traceback` adds to this"
    return NatkitError(f"{session.program} has a bug", why=why, hint=hint)


def error_as_json(error: NatkitError) -> dict[str, object]:
    """Return the JSON form of an error, the same for every command."""
    return {
        "type": type(error).__name__,
        "exit_code": error.exit_code,
        "what": error.what,
        "why": error.why,
        "hint": error.hint,
    }


def _report(error: NatkitError, colour: bool | None) -> None:
    text = error.what if error.why is None else f"{error.what}: {error.why}"
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True, color=colour)
    if error.hint is not None:
        click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True, color=colour)


def _why_stdout_fails() -> str | None:
    """Return what keeps stdout from being written (a full disk, say); None: nothing does."""
    try:
        # Python drops what it could not write, so a flush alone would succeed.
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _unwritable(why: str) -> NatkitError:
    return NatkitError("cannot write to standard output", why=why)


def _leave_quietly() -> NoReturn:
    # Nothing more can be written. Python would complain again when it flushes at exit.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    sys.exit(FAILURE)
