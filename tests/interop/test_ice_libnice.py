"""natkit's ICE against libnice's, in either role, candidates trickling both ways."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import natkit
from natkit.ice.events import State
from tests.interop.talker import Talker, talker

pytestmark = [pytest.mark.interop, pytest.mark.needs("libnice"), pytest.mark.timeout(60)]

PROGRAM = ("/usr/bin/python3", str(Path(__file__).with_name("nice_peer.py")))


class Signalling:
    """Carries what each side says to the other, as it says it."""

    def __init__(self, ours: natkit.Connection, theirs: Talker) -> None:
        self.ours, self.theirs = ours, theirs
        self.their_candidates: list[str | None] = []
        self.their_states: list[str] = []
        self.their_pair: list[str] = []
        self.known, self._news = asyncio.Event(), asyncio.Event()
        ours.on_state = lambda _: self._news.set()

    def to_them(self, candidate: natkit.Candidate | None) -> None:
        self.theirs.tell(candidate=None if candidate is None else candidate.to_sdp())

    async def from_them(self) -> None:
        async for said in self.theirs.said():
            if "username" in said:
                self.ours.remote_username = said["username"]
                self.ours.remote_password = said["password"]
                self.known.set()
            elif "candidate" in said:
                text = said["candidate"]
                self.their_candidates.append(text)
                found = None if text is None else natkit.Candidate.from_sdp(text)
                await self.ours.add_remote_candidate(found)
            elif "pair" in said:
                self.their_pair = said["pair"]
            else:
                self.their_states.append(said["state"])
            self._news.set()

    async def next(self) -> None:
        """Wait until something else is known of either side."""
        self._news.clear()
        await self._news.wait()


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_libnice_connects_and_both_select_the_same_pair(ours_controls: bool):
    assert await meet(ours_controls, not ours_controls) is ours_controls


@pytest.mark.parametrize("role", [True, False], ids=["both-controlling", "both-controlled"])
async def test_role_conflict_with_libnice_is_settled(role: bool):
    await meet(role, role)


async def meet(ours_controls: bool, theirs_controls: bool) -> bool:
    """Connect, and say something; return whether we control in the end."""
    role = "controlling" if theirs_controls else "controlled"
    async with talker(*PROGRAM, role) as theirs:
        ours = natkit.Connection(ours_controls)
        signalling = Signalling(ours, theirs)
        ours.on_candidate = signalling.to_them
        theirs.tell(username=ours.local_username, password=ours.local_password)
        listening = asyncio.create_task(signalling.from_them())
        try:
            async with asyncio.timeout(30):
                await signalling.known.wait()
                gathering = asyncio.create_task(ours.gather_candidates())
                await asyncio.sleep(0)
                await ours.connect()
                await gathering
                await converse(signalling)
            return ours.ice_controlling
        finally:
            listening.cancel()
            await ours.close()
            await asyncio.gather(listening, return_exceptions=True)


async def converse(signalling: Signalling) -> None:
    ours = signalling.ours
    while ours.state is not State.COMPLETED or "ready" not in signalling.their_states:
        await signalling.next()
    pair = ours.selected_pair()
    assert pair is not None
    near, far = map(natkit.Candidate.from_sdp, signalling.their_pair)
    assert (near.host, near.port) == (pair.remote.host, pair.remote.port)
    assert (far.host, far.port) == (pair.local.host, pair.local.port)
    assert signalling.their_candidates[-1] is None
    await ours.send(b"hello")
    assert await ours.recv() == b"hello"
