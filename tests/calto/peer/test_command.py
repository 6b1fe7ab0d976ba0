"""`calto call` and `calto answer` as they are typed."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process

import pytest
from click.testing import CliRunner

from calto_demo.cli import main
from calto_demo.server.running import Server


async def calto(*words: str) -> Process:
    argv = (sys.executable, "-m", "calto_demo.cli", *words)
    return await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE)


@pytest.mark.slow
async def test_one_answers_as_an_echo_and_another_calls_and_both_tell_the_way(server: Server):
    answering = await calto(
        "answer", "--server", server.url, "--name", "Bob", "--echo", "--once", "--json"
    )
    assert answering.stderr is not None
    assert b"waits for calls" in await answering.stderr.readline()
    calling = await calto("call", "bob", "--server", server.url, "--for", "2s", "--json")
    out, err = await calling.communicate()
    assert calling.returncode == 0, err
    answered, _ = await answering.communicate()
    found, taken = json.loads(out), json.loads(answered)
    assert found["schema"] == taken["schema"] == "calto.call/1"
    assert (found["direction"], taken["direction"]) == ("out", "in")
    assert found["call"] == taken["call"]
    assert found["path"] == taken["path"] == "direct"
    assert found["quality"]["bitrate_bps"] > 10_000


@pytest.mark.parametrize("words", [("call", "Echo"), ("answer",)], ids=lambda it: it[0])
def test_without_a_server_it_is_told_how_to_start_one(words: tuple[str, ...]):
    done = CliRunner().invoke(main, [*words, "--server", "http://127.0.0.1:9", "--json"])
    assert done.exit_code == 3
    assert "calto serve" in json.loads(done.stdout)["error"]["hint"]


@pytest.mark.parametrize("name", ["", 41 * "x"])
def test_a_name_that_nobody_can_have_is_refused_with_how_long_it_may_be(name: str):
    done = CliRunner().invoke(main, ["call", "Echo", "--name", name])
    assert done.exit_code == 2
    assert "--name 1 to 40 characters" in done.stderr


def test_a_sound_that_cannot_be_played_is_refused_before_anybody_is_called():
    done = CliRunner().invoke(main, ["call", "Echo", "--audio", "none.wav", "--json"])
    assert done.exit_code == 2
    assert "none.wav" in json.loads(done.stdout)["error"]["what"]
