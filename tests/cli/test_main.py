"""The command line as a whole: what it imports, how it ends, and that every command loads."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from natkit.cli.lazy import load
from natkit.cli.main import COMMANDS, main

HELP_BUDGET = 0.150  # seconds of CPU for `natkit --help`, Python's own start included

HEAVY = ("asyncio", "ssl", "cryptography", "dns", "ifaddr", "natkit.aio", "natkit.lab")
"""What `natkit --help` must not import."""


def natkit(*words: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "natkit", *words],
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="children's CPU time is not known on Windows")
def test_help_costs_less_cpu_than_its_budget():
    def spent() -> float:
        before = os.times()
        assert natkit("--help").returncode == 0
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - (before.children_user + before.children_system)
        )

    # The best of some: what else the machine does can only add to the cost.
    assert min(spent() for _ in range(7)) < HELP_BUDGET


def test_help_imports_no_command_and_nothing_heavy():
    code = (
        "import sys; from natkit.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    commands = {entry.target.partition(":")[0] for entry in COMMANDS.values()}
    assert not loaded & commands
    assert not loaded & set(HEAVY)


def test_help_lists_every_command_with_its_line():
    text = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    for name, entry in COMMANDS.items():
        assert name in text
        assert entry.help in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_loads_and_has_help(name: str):
    assert isinstance(load(COMMANDS[name]), click.Command)
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output


def test_running_the_package_is_running_the_command():
    done = natkit("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("natkit, version ")


def test_ctrl_c_while_it_starts_shows_no_traceback():
    code = (
        "import sys, types\n"
        "def interrupt(name, *rest):\n"
        "    if name == 'natkit.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, types.SimpleNamespace(find_spec=interrupt))\n"
        "from natkit.__main__ import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_unknown_command_is_a_usage_error_with_a_hint():
    done = natkit("prob")
    assert done.returncode == 2
    assert done.stdout == ""
    complaint = "error: No such command 'prob'. Did you mean 'probe'?\n"
    assert done.stderr == complaint + "hint: Try: natkit --help\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_a_script_that_calls_natkit(shell: str):
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_NATKIT_COMPLETE={shell}_complete" in result.stdout


def test_a_shell_is_offered_the_commands():
    words = {"COMP_WORDS": "natkit ex", "COMP_CWORD": "1", "_NATKIT_COMPLETE": "zsh_complete"}
    done = natkit(env={**os.environ, **words})
    assert done.stdout.split()[1] == "explain"


def test_help_of_a_command_is_what_its_own_help_option_says():
    by_help, by_option = (
        CliRunner().invoke(main, words) for words in (["help", "doctor"], ["doctor", "--help"])
    )
    assert by_help.exit_code == 0
    assert by_help.output.strip() == by_option.output.strip()


def test_help_without_a_word_is_the_list_of_commands():
    assert "completion" in CliRunner().invoke(main, ["help"]).output


def test_help_of_a_topic_explains_it():
    result = CliRunner().invoke(main, ["help", "exit-codes"])
    assert result.exit_code == 0
    assert "130" in result.output


@pytest.mark.parametrize(("words", "what"), [(["nonsense"], "topic"), (["doctor", "x"], "sub")])
def test_help_of_nothing_known_is_a_usage_error(words: list[str], what: str):
    result = CliRunner().invoke(main, ["help", *words])
    assert result.exit_code == 2
    assert what in result.stderr
