"""Several server processes with one database and Redis between them; one is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calto.clients import SDP, Tab, api
from tests.calto.real_servers import redis
from tests.calto.served import Served, served

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("root", "redis-server", "pg_ctlcluster", "setpriv"),
]

BACK = 5.0
"""Seconds in which a socket is back, on another process."""

FORGOTTEN = 30.0
"""Seconds until it is told that who was on a lost process is offline: thirteen, and more."""


@pytest.fixture
def two(real_postgresql: str, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two servers."""
    (tmp_path / "redis").mkdir()
    with redis(tmp_path / "redis") as url:
        options = ("--database", real_postgresql, "--redis", url, "--no-echo")
        with (
            served(tmp_path / "one", *options) as one,
            served(tmp_path / "two", *options) as two,
        ):
            yield one, two


async def somebody(server: Served, name: str) -> Tab:
    async with api(server.url) as web:
        tab = Tab(server.url, *await web.guest(name))
    await tab.open()
    return tab


async def told_of(tab: Tab, whom: Tab, *, online: bool) -> None:
    """Wait until a tab is told that somebody is there, or is not."""
    while True:
        person = (await tab.expect("presence", within=FORGOTTEN))["person"]
        if person["id"] == whom.user and person["online"] is online:
            return


async def test_users_on_two_processes_talk_and_the_call_outlives_one_of_them(two):
    one, other = two
    bob = await somebody(other, "Bob")
    ada, cleo = await somebody(one, "Ada"), await somebody(one, "Cleo")
    await told_of(bob, ada, online=True)
    call = await ada.ring(bob.user)
    assert (await bob.expect("incoming"))["peer"]["name"] == "Ada"
    await bob.send("ringing", call)
    await ada.expect("ringing")
    await bob.send("accept", call, sdp=SDP)
    await ada.expect("accepted")
    await ada.send("candidate", call, candidate={"candidate": "x"})
    await bob.expect("candidate")
    await bob.send("connected", call)
    await ada.expect("connected")
    busy = await cleo.ring(bob.user)
    await cleo.expect("ended", call=busy, reason="busy")

    one.process.kill()
    began = time.monotonic()
    await ada.closed()
    ada.url = other.url
    welcome = await ada.open()
    assert time.monotonic() - began < BACK
    assert welcome["resumed"] is False
    assert [(one["call"], one["state"]) for one in welcome["calls"]] == [(call, "connected")]
    await ada.send("mute", call, muted=True)
    await bob.expect("mute")
    await told_of(bob, cleo, online=False)
    await bob.send("hangup", call)
    await ada.expect("ended", call=call, reason="hangup")
    async with api(other.url) as web:
        calls = (await web.get("/api/calls", bob.token))["calls"]
    assert [(it["call"], it["reason"]) for it in calls] == [(busy, "busy"), (call, "hangup")]
    for tab in (ada, bob):
        await tab.close()


async def test_a_device_on_each_process_rings_and_the_first_to_answer_has_the_call(two):
    one, other = two
    ada = await somebody(one, "Ada")
    phone = await somebody(one, "Bob")
    laptop = Tab(other.url, phone.user, phone.token)
    await laptop.open()
    call = await ada.ring(phone.user)
    for device in (phone, laptop):
        await device.expect("incoming", call=call)
    await laptop.send("accept", call, sdp=SDP)
    await ada.expect("accepted", call=call)
    await phone.expect("stop", call=call)
    for tab in (ada, phone, laptop):
        await tab.close()


async def test_a_session_that_moves_to_another_process_leaves_the_first(two):
    one, other = two
    ada = await somebody(one, "Ada")
    moved = Tab(other.url, ada.user, ada.token, ada.name)
    await moved.open()
    assert (await ada.closed())[0] == 4409
    bob = await somebody(one, "Bob")
    await bob.ring(ada.user)
    await moved.expect("incoming")
    for tab in (moved, bob):
        await tab.close()
