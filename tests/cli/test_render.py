"""Tables, and progress that stays off a pipe."""

from __future__ import annotations

import io

import pytest

from natkit.cli.render import Progress, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_in_a_pipe_is_plain_and_cuts_nothing():
    text = table(("name", "what"), [("a", "x" * 300), ("b", "\x1b[31mred\x1b[0m")])
    assert "x" * 300 in text
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_brackets_in_a_cell_are_text_and_not_markup():
    assert "[2001:db8::1]:3478" in table(("a",), [("[2001:db8::1]:3478",)])


def test_progress_in_a_pipe_writes_nothing(monkeypatch: pytest.MonkeyPatch):
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    with Progress() as progress:
        progress.say("asking")
    assert stderr.getvalue() == ""


def test_progress_on_a_terminal_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch):
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("COLUMNS", "20")
    with Progress() as progress:
        progress.say("asking " * 10)
    shown = stderr.getvalue()
    assert shown.startswith("\r\x1b[Kasking asking askin\r")
    assert shown.endswith("\r\x1b[K")
