"""Headless peers at a real Calto server: sessions that are lost and come back, and calls."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from calto_demo.negotiation import CallFailed
from calto_demo.peer.account import Account, ServerRefused
from calto_demo.peer.audio import Echo, Recorder, Tone, ToneMeter
from calto_demo.peer.conversation import as_text, place_call, sources_of, take_call
from calto_demo.peer.session import Session, open_session
from calto_demo.server.running import Server
from natkit import UsageError

pytestmark = pytest.mark.slow


class Guest(NamedTuple):
    """Somebody at the server."""

    account: Account
    session: Session

    async def frame(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a kind."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.session.frames.get()
                assert frame is not None, self.session.lost
                if frame["type"] == kind:
                    return frame

    async def call(self, whom: str, *, path: str = "auto", record: Path | None = None) -> Any:
        """Call somebody and talk for two seconds."""
        said: list[str] = []
        found = await place_call(
            self.account,
            self.session,
            await self.account.find(whom),
            source=Tone(),
            record=record,
            path=path,
            seconds=2.0,
            say=said.append,
        )
        return found, said

    async def take(self, sink: Any) -> Any:
        """Take the next call, and say a tone or what the sink says."""
        return await take_call(
            self.account,
            self.session,
            await self.frame("incoming"),
            source=sink if isinstance(sink, Echo) else Tone(),
            sink=sink,
            record=None,
            path="auto",
        )


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def guest(stack: AsyncExitStack, server: Server, name: str) -> Guest:
    account = await stack.enter_async_context(Account(server.url))
    await account.sign_in(name)
    return Guest(account, await stack.enter_async_context(open_session(account)))


@pytest.mark.slow
@pytest.mark.parametrize(("path", "kind"), [("auto", "direct"), ("relay", "relayed")])
async def test_two_peers_call_each_other_on_either_path(
    server: Server, stack: AsyncExitStack, path: str, kind: str
):
    ada, bob = [await guest(stack, server, name) for name in ("Ada", "Bob")]
    ear = ToneMeter()
    taking = asyncio.create_task(bob.take(ear))
    found, said = await ada.call("bob", path=path)
    taken = await taking
    assert said == ["Connecting to Bob", "Ringing", "Talking to Bob"]
    assert found["path"] == taken["path"] == kind
    assert taken["ended"] == "hangup"
    assert ear.tones > 60
    assert found["quality"]["setup_ms"] > 0
    assert f"Call to Bob: {kind}" in as_text(found)
    # The server keeps what both have measured.
    record = await ada.account.ask("GET", f"/api/calls/{found['call']}")
    assert record["reason"] == "hangup"
    assert (record["mine"]["kind"], record["theirs"]["kind"]) == (kind, kind)
    assert record["mine"]["quality"]["setup_ms"] == found["quality"]["setup_ms"]
    for side in ("mine", "theirs"):
        assert record[side]["local"]["port"]
        assert record[side]["remote"]["port"]
        assert [it["state"] for it in record[side]["pairs"]].count("selected") == 1
        assert "This side and" in record[side]["explanation"]


@pytest.mark.slow
async def test_the_echo_contact_sends_the_tone_back(
    server: Server, stack: AsyncExitStack, tmp_path: Path
):
    heard = tmp_path / "heard.wav"
    ada = await guest(stack, server, "Ada")
    await ada.call("Echo", record=heard)
    meter = ToneMeter()
    with wave.open(str(heard)) as file:
        while piece := file.readframes(960):
            meter.hear(piece)
    assert meter.tones > 40


@pytest.mark.slow
async def test_a_sink_that_cannot_take_more_ends_the_call_and_says_why(
    server: Server, stack: AsyncExitStack
):
    class Full(ToneMeter):
        def hear(self, samples: bytes) -> None:
            raise UsageError("cannot write a.wav", why="No space left on device")

    ada, bob = [await guest(stack, server, name) for name in ("Ada", "Bob")]
    calling = asyncio.create_task(ada.call("Bob"))
    with pytest.raises(UsageError, match="cannot write"):
        await bob.take(Full())
    found, _ = await calling
    assert found["ended"] is not None


@pytest.mark.slow
async def test_an_answering_echo_sends_the_tone_back(server: Server, stack: AsyncExitStack):
    ada, bob = [await guest(stack, server, name) for name in ("Ada", "Bob")]
    taking = asyncio.create_task(bob.take(Echo()))
    found, _ = await ada.call("Bob")
    await taking
    assert found["quality"]["bitrate_bps"] > 10_000


async def test_whoever_declines_or_is_not_there_is_told_as_the_reason(
    server: Server, stack: AsyncExitStack
):
    ada, bob = [await guest(stack, server, name) for name in ("Ada", "Bob")]
    calling = asyncio.create_task(ada.call("Bob"))
    incoming = await bob.frame("incoming")
    await bob.session.send("decline", call=incoming["call"])
    with pytest.raises(CallFailed) as failed:
        await calling
    assert failed.value.why == "declined"


async def test_somebody_unknown_is_refused_with_those_there_are(
    server: Server, stack: AsyncExitStack
):
    ada = await guest(stack, server, "Ada")
    with pytest.raises(UsageError) as refused:
        await ada.account.find("Nobody")
    assert "Echo" in str(refused.value.hint)


async def test_a_lost_socket_comes_back_and_nothing_is_lost(server: Server, stack: AsyncExitStack):
    ada, bob = [await guest(stack, server, name) for name in ("Ada", "Bob")]
    for number in range(3):
        assert bob.session._socket is not None
        bob.session._socket.transport.abort()
        # Sent into a socket that is gone, it goes over the next one.
        await bob.session.send("status", nat=("cone", "symmetric", "open")[number])
        while (await ada.frame("presence"))["person"]["nat"] != ("cone", "symmetric", "open")[
            number
        ]:
            pass
    assert bob.session.welcome["resumed"] is True


async def test_a_token_that_is_not_good_is_refused(server: Server):
    async with Account(server.url) as account:
        account.token = "forged"
        with pytest.raises(ServerRefused):
            async with open_session(account):
                pass
        with pytest.raises(ServerRefused) as refused:
            await account.ask("GET", "/api/me")
        assert refused.value.why == "bad-token"


async def test_a_server_that_is_not_there_is_told_with_what_to_do():
    async with Account("http://127.0.0.1:9") as account:
        with pytest.raises(ServerRefused) as refused:
            await account.sign_in("Ada")
        assert "calto serve" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("answer", "why"),
    [(None, "nothing came within 0.2 s"), (b"", "disconnected"), (b"\0\1\2\3\r\n\r\n", "")],
    ids=["silence", "a closed door", "another protocol"],
)
async def test_a_server_that_speaks_something_else_is_told_apart_from_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, why: str
):
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()
        over.set()

    monkeypatch.setattr("calto_demo.peer.account.PATIENCE", 0.2)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        async with Account(f"http://127.0.0.1:{port}") as account:
            with pytest.raises(ServerRefused, match="does not answer as a Calto server") as refused:
                await account.sign_in("Ada")
        await over.wait()
    assert refused.value.why
    assert why in refused.value.why
    assert "calto serve" in str(refused.value.hint)


def test_what_is_no_address_of_a_server_is_refused():
    with pytest.raises(UsageError):
        Account("example.org")


def test_a_file_is_said_from_its_beginning_in_each_call(tmp_path: Path):
    low, high = Tone(500).next(), Tone(600).next()
    recorder = Recorder(tmp_path / "said.wav")
    for sound in (low, high):
        recorder.hear(sound)
    recorder.close()
    source = sources_of(str(tmp_path / "said.wav"))
    assert [[said.next(), said.next()] for said in (source(), source())] == [[low, high]] * 2
