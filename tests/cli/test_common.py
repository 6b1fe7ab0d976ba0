"""Errors, exit codes and the options that every command has."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from natkit.cli.common import Command, Group, Root, colour_wanted, emit_json, json_option
from natkit.errors import (
    AuthenticationFailed,
    NatkitError,
    NetworkUnreachable,
    RequirementNotMet,
    UsageError,
)


@pytest.fixture
def run_with() -> Callable[..., Result]:
    """Run a command `try` with the given body, behind a root group like natkit's."""

    def run(body: Callable[[], object], *words: str, **kwargs: object) -> Result:
        @click.group("natkit", cls=Root, context_settings={"auto_envvar_prefix": "NATKIT"})
        def root() -> None:
            pass

        @root.command("try")
        @json_option
        def try_(as_json: bool) -> object:
            return body()

        return CliRunner().invoke(root, ["try", *words], **kwargs)

    return run


def failing(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NatkitError("x"), 1),
        (UsageError("x"), 2),
        (NetworkUnreachable("x"), 3),
        (AuthenticationFailed("x"), 4),
        (RequirementNotMet("x"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(run_with, error: BaseException, code: int):
    result = run_with(failing(error))
    assert result.exit_code == code
    assert result.stdout == ""


def test_an_error_says_what_why_and_what_next_on_stderr(run_with):
    error = NetworkUnreachable("no answer from x", why="3 tries, 3 s", hint="Try another server")
    assert run_with(failing(error)).stderr == (
        "error: no answer from x: 3 tries, 3 s\nhint: Try another server\n"
    )


def test_with_json_an_error_is_json_on_stdout_and_nothing_on_stderr(run_with):
    error = NetworkUnreachable("no answer", why="silence")
    result = run_with(failing(error), "--json")
    assert (result.exit_code, result.stderr) == (3, "")
    assert json.loads(result.stdout) == {
        "error": {
            "type": "NetworkUnreachable",
            "exit_code": 3,
            "what": "no answer",
            "why": "silence",
            "hint": None,
        }
    }


def test_json_asked_for_by_environment_covers_errors_too(run_with):
    result = run_with(failing(UsageError("x")), env={"NATKIT_TRY_JSON": "1"})
    assert json.loads(result.stdout)["error"]["what"] == "x"


def test_an_error_after_json_data_leaves_stdout_one_document(run_with):
    def body() -> None:
        emit_json({"direct": "none"})
        raise RequirementNotMet("not direct")

    result = run_with(body, "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout) == {"direct": "none"}
    assert result.stderr == "error: not direct\n"


def test_a_usage_error_with_json_is_json_even_when_options_were_not_understood(run_with):
    result = run_with(lambda: None, "--json", "--nonsense")
    assert result.exit_code == 2
    assert "--nonsense" in json.loads(result.stdout)["error"]["what"]


def test_a_bug_is_one_line_and_how_to_report_it(run_with):
    result = run_with(failing(ZeroDivisionError("by zero")))
    first, second = result.stderr.splitlines()
    assert first.startswith("error: natkit has a bug: ZeroDivisionError: by zero (body, line ")
    assert "--traceback" in second


def test_traceback_shows_where_a_bug_is(run_with):
    result = run_with(failing(ZeroDivisionError("by zero")), "--traceback")
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.splitlines()[-1].startswith("hint: Please report it")


def test_ctrl_c_is_no_error_and_shows_no_traceback(run_with):
    assert run_with(failing(KeyboardInterrupt())).stderr.strip() == ""


def test_the_callbacks_integer_is_the_exit_code(run_with):
    assert run_with(lambda: 5).exit_code == 5
    assert run_with(lambda: None).exit_code == 0


def test_a_callback_may_be_async(run_with):
    async def body() -> int:
        await asyncio.sleep(0)
        emit_json([1], compact=True)
        return 4

    result = run_with(body)
    assert (result.exit_code, result.stdout) == (4, "[1]\n")


@pytest.mark.parametrize(
    ("choice", "environment", "wanted"),
    [
        ("auto", {}, None),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, None),
        ("auto", {"TERM": "dumb"}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_the_option_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, choice: str, environment: dict[str, str], wanted: bool | None
):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colour_wanted(choice) is wanted


@pytest.mark.parametrize(("colour", "escapes"), [("always", True), ("never", False)])
def test_the_colour_option_reaches_the_output(run_with, colour: str, escapes: bool):
    def body() -> None:
        click.secho("red", fg="red")

    assert ("\x1b[" in run_with(body, "--color", colour).stdout) is escapes


@pytest.mark.parametrize(
    ("words", "no_colour", "escapes"),
    [((), None, True), ((), "1", False), (("--color", "never"), None, False)],
)
def test_an_error_on_a_terminal_is_coloured_unless_asked_not_to(
    run_with, words: tuple[str, ...], no_colour: str | None, escapes: bool
):
    environment = {"NO_COLOR": no_colour, "FORCE_COLOR": None, "TERM": "xterm"}
    result = run_with(failing(NatkitError("x")), *words, color=True, env=environment)
    assert ("\x1b[" in result.stderr) is escapes


def test_a_reader_that_goes_away_is_no_error():
    code = (
        "import click\n"
        "from natkit.cli.common import Root\n"
        "@click.group('natkit', cls=Root)\n"
        "def root(): pass\n"
        "@root.command()\n"
        "def flood():\n"
        "    while True: click.echo('x' * 1000)\n"
        "root(['flood'])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDEVMODE": "0"},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=30) == 1


def natkit_into(redirection: str, *words: str) -> tuple[int, str]:
    """Run natkit from a shell; return its exit code and what it said on stderr."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "natkit", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDEVMODE": "0"},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("words", [("--help",), ("explain", "CGN", "--json"), ("nonsense",)])
def test_a_closed_stdout_is_an_ordinary_error(words: tuple[str, ...]):
    said = "error: cannot write to standard output: it is closed\n"
    assert natkit_into(">&-", *words) == (1, said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [("explain", "CGN"), ("explain", "CGN", "--json")])
def test_a_full_stdout_is_an_ordinary_error(words: tuple[str, ...]):
    code, said = natkit_into("> /dev/full", *words)
    assert code == 1
    assert said == "error: cannot write to standard output: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_closed_stderr_takes_no_result_away():
    assert natkit_into("> /dev/null 2>&-", "lab", "probe", "home") == (0, "")


@pytest.mark.parametrize(
    ("number", "what_to_raise"), [(errno.EMFILE, "ulimit -n"), (errno.ENFILE, "fs.file-max")]
)
def test_limit_on_descriptors_is_no_bug_and_is_named(run_with, number, what_to_raise):
    result = run_with(failing(OSError(number, os.strerror(number))))
    assert result.exit_code == 1
    assert "may not open as many files and sockets" in result.stderr
    assert what_to_raise in result.stderr


def test_another_failure_of_the_system_is_still_a_bug(run_with):
    result = run_with(failing(OSError("no such device")))
    assert result.stderr.startswith("error: natkit has a bug: OSError: no such device")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_ends_an_async_command_cleanly():
    code = (
        "import asyncio, click\n"
        "from natkit.cli.common import Root\n"
        "@click.group('natkit', cls=Root)\n"
        "def root(): pass\n"
        "@root.command()\n"
        "async def wait():\n"
        "    click.echo('up')\n"
        "    await asyncio.sleep(60)\n"
        "root(['wait'])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors.strip()) == (130, b"")


def test_outside_of_a_command_json_still_prints(capsys: pytest.CaptureFixture[str]):
    emit_json({"a": "ä"})
    assert json.loads(capsys.readouterr().out) == {"a": "ä"}


def test_a_group_makes_commands_with_the_common_options():
    @click.group("natkit", cls=Root)
    def root() -> None:
        pass

    @root.group()
    def inner() -> None:
        pass

    @inner.command()
    def leaf() -> None:
        pass

    assert type(inner) is Group
    assert isinstance(leaf, Command)
    assert {"--color", "--traceback"} <= {o for p in leaf.params for o in p.opts}
