"""`calto call` and `calto answer` as they are typed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from calto_demo.cli import main
from calto_demo.peer import audio
from calto_demo.server.running import Server
from natkit.aiortc import RTCPeerConnection
from tests.calto.clients import Tab, api, new_call


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


UNUSABLE = "garbage"


@asynccontextmanager
async def tab(server: Server, name: str) -> AsyncIterator[Tab]:
    """Somebody who speaks the protocol, and says what a test wants."""
    async with api(server.url) as web:
        made = Tab(web.url, *await web.guest(name))
        await made.open()
        try:
            yield made
        finally:
            await made.close()


async def bob_answers(server: Server, *words: str) -> tuple[Process, str]:
    """Start `calto answer`; return it, and who it is."""
    bob = await calto("answer", "--server", server.url, "--name", "Bob", "--json", *words)
    assert bob.stderr is not None
    waits = re.search(rb"\((u-\w+)\) waits for calls", await bob.stderr.readline())
    assert waits
    return bob, waits[1].decode()


async def fails(ada: Tab, bob: str) -> None:
    """Ring with an offer that cannot be used, and be told so."""
    call = new_call()
    await ada.send("ring", call, to=bob, sdp=UNUSABLE)
    ended = await ada.expect("ended", call=call)
    assert (ended["reason"], ended["message"]) == ("failed", "this call's offer cannot be used")


@pytest.mark.slow
async def test_an_offer_that_cannot_be_used_ends_that_call_and_the_next_is_waited_for(
    server: Server,
):
    bob, who = await bob_answers(server)
    assert bob.stderr is not None
    async with tab(server, "Ada") as ada:
        for _ in range(2):
            await fails(ada, who)
            told = await bob.stderr.readline()
            assert told.startswith(b"Call from Ada: this call's offer cannot be used: ")
    bob.send_signal(signal.SIGINT)
    assert await bob.wait() == 130


@pytest.mark.slow
async def test_one_call_that_comes_to_nothing_is_told_and_is_exit_code_3(server: Server):
    bob, who = await bob_answers(server, "--once")
    async with tab(server, "Ada") as ada:
        await fails(ada, who)
    out, _ = await bob.communicate()
    assert bob.returncode == 3
    assert "offer cannot be used" in json.loads(out)["error"]["what"]


@pytest.mark.slow
async def test_a_call_that_is_hung_up_before_it_began_is_told_and_is_exit_code_3(server: Server):
    bob, who = await bob_answers(server, "--once")
    async with tab(server, "Ada") as ada:
        peer = RTCPeerConnection()
        peer.addTransceiver("audio")
        await peer.setLocalDescription()
        call = new_call()
        await ada.send("ring", call, to=who, sdp=peer.localDescription.sdp)
        await ada.expect("accepted", call=call)
        await ada.send("hangup", call)
        await peer.close()
    out, _ = await bob.communicate()
    assert bob.returncode == 3
    assert json.loads(out)["error"]["why"] == "hangup"


@pytest.mark.slow
async def test_an_answer_that_cannot_be_used_ends_the_call_and_the_callee_is_told(server: Server):
    async with tab(server, "Mallory") as mallory:
        calling = await calto("call", mallory.user, "--server", server.url, "--json")
        call = (await mallory.expect("incoming"))["call"]
        await mallory.send("accept", call, sdp=UNUSABLE)
        ended = await mallory.expect("ended", call=call)
        assert (ended["reason"], ended["message"]) == (
            "failed",
            "this call's answer cannot be used",
        )
        out, _ = await calling.communicate()
    assert calling.returncode == 3
    assert "answer cannot be used" in json.loads(out)["error"]["what"]


@pytest.mark.parametrize("words", [("call", "Echo"), ("answer",)], ids=lambda it: it[0])
def test_without_a_server_it_is_told_how_to_start_one(words: tuple[str, ...]):
    done = CliRunner().invoke(main, [*words, "--server", "http://127.0.0.1:9", "--json"])
    assert done.exit_code == 3
    assert "calto serve" in json.loads(done.stdout)["error"]["hint"]


@pytest.mark.parametrize("words", [("call", "Echo"), ("answer",)], ids=lambda it: it[0])
def test_a_recording_that_cannot_be_written_is_refused_before_a_server_is_asked(
    words: tuple[str, ...], tmp_path: Path
):
    there = tmp_path / "none" / "a.wav"
    nowhere = ("--server", "http://127.0.0.1:9")
    done = CliRunner().invoke(main, [*words, *nowhere, "--record", str(there), "--json"])
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["what"] == f"cannot write {there}"
    assert "Give --record a file" in error["hint"]


@pytest.mark.parametrize("name", ["", 41 * "x"])
def test_a_name_that_nobody_can_have_is_refused_with_how_long_it_may_be(name: str):
    done = CliRunner().invoke(main, ["call", "Echo", "--name", name])
    assert done.exit_code == 2
    assert "--name 1 to 40 characters" in done.stderr


def test_a_certificate_that_is_none_is_refused_with_what_one_looks_like(tmp_path: Path):
    file = tmp_path / "ca.pem"
    file.write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="utf-8")
    words = ("--ca", str(file), "--server", "https://127.0.0.1:9", "--json")
    done = CliRunner().invoke(main, ["call", "Echo", *words])
    assert done.exit_code == 2
    assert "BEGIN CERTIFICATE" in json.loads(done.stdout)["error"]["hint"]


@pytest.mark.parametrize("words", [("call", "Echo"), ("answer",)], ids=lambda it: it[0])
@pytest.mark.parametrize("there", [False, True], ids=["not there", "no sound"])
def test_a_sound_that_cannot_be_played_is_refused_before_there_is_a_call(
    words: tuple[str, ...], there: bool, tmp_path: Path
):
    file = tmp_path / "none.wav"
    if there:
        file.write_text("This is no sound.", encoding="utf-8")
    nobody = ("--server", "http://127.0.0.1:9", "--json")
    done = CliRunner().invoke(main, [*words, "--audio", str(file), *nobody])
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["what"] == f"cannot play {file}"
    assert "WAV" in error["hint"]


@pytest.mark.parametrize("words", [("call", "Echo"), ("answer",)], ids=lambda it: it[0])
def test_a_microphone_that_is_missing_is_told_before_there_is_a_call(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audio, "SOUND_LIBRARY", "no_such_library")
    done = CliRunner().invoke(main, [*words, "--audio", "mic", "--server", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "no microphone can be used" in done.stderr
