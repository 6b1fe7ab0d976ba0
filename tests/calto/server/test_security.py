"""What an attacker tries, and what they are told: no more than that it does not work."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from calto_demo.server.frames import LONGEST_FRAME
from calto_demo.server.services import derived
from calto_demo.server.settings import Settings
from calto_demo.server.tokens import LIFETIME, Identity, Tokens
from natkit import UsageError
from tests.calto.clients import SDP, new_call
from tests.calto.server.world import SECRET, TURN_SECRET, World, error_of

pytestmark = pytest.mark.slow

OURS = Tokens(derived(SECRET, "tokens"))


async def refused_everywhere(world: World, token: str, code: str) -> None:
    """Hold that a token opens nothing, over HTTP and the WebSocket."""
    for method, path in (
        ("GET", "/api/me"),
        ("PATCH", "/api/me"),
        ("POST", "/api/token"),
        ("POST", "/api/sign-out"),
        ("GET", "/api/people"),
        ("PUT", "/api/contacts/u-x"),
        ("GET", "/api/calls"),
        ("GET", f"/api/calls/{new_call()}"),
        ("GET", "/api/ice"),
    ):
        assert error_of(await world.api.ask(method, path, token), 401) == code, path
    tab = world.new_tab("u-x", token)
    await tab.open_unanswered()
    assert await tab.closed() == (4401, code)


async def test_a_forged_token_opens_nothing(world: World):
    user, _ = await world.api.guest("Ada")
    forged, _ = Tokens("another secret of at least 32 chars").mint(
        Identity(user, "d-x"), now=world.now()
    )
    await refused_everywhere(world, forged, "bad-token")


async def test_an_expired_token_opens_nothing(world: World):
    user, _ = await world.api.guest("Ada")
    old, _ = OURS.mint(Identity(user, "d-x"), now=world.now() - LIFETIME - 1)
    await refused_everywhere(world, old, "expired-token")


async def test_a_token_of_a_user_or_device_that_never_was_opens_nothing(world: World):
    user, _ = await world.api.guest("Ada")
    for identity in (Identity("u-x", "d-x"), Identity(user, "d-x")):
        foreign, _ = OURS.mint(identity, now=world.now())
        await refused_everywhere(world, foreign, "signed-out")


async def test_without_a_token_nothing_opens(world: World):
    assert error_of(await world.api.ask("GET", "/api/me"), 401) == "no-token"
    for scheme in ("Basic eA==", "Bearer"):
        response = await world.api.ask("GET", "/api/me", headers={"Authorization": scheme})
        assert error_of(response, 401) == "no-token"


async def test_the_secret_of_turn_logins_makes_no_token(world: World):
    user, _ = await world.api.guest("Ada")
    assert world.server.services.ice.secret == TURN_SECRET
    for key in (TURN_SECRET, derived(TURN_SECRET, "tokens")):
        token, _ = Tokens(key).mint(Identity(user, "d-x"), now=world.now())
        await refused_everywhere(world, token, "bad-token")


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("https://evil.example", False),
        ("null", False),
        ("https://app.example.org.evil.example", False),
        ("https://app.example.org", True),
        ("own", True),
        (None, True),
    ],
)
async def test_a_page_of_another_site_gets_no_socket(world: World, origin, is_let_in):
    address = world.api.url.replace("http", "ws", 1) + "/ws"
    if origin == "own":
        origin = world.api.url
    headers = {} if origin is None else {"Origin": origin}
    if is_let_in:
        async with connect(address, additional_headers=headers, proxy=None):
            return
    with pytest.raises(InvalidStatus) as refused:
        await connect(address, additional_headers=headers, proxy=None)
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)["error"]["code"]) == (403, "bad-origin")


async def test_a_client_cannot_say_who_it_is(world: World):
    """Whatever it puts into its frames beside the token, others see the token's user."""
    ada, bob = await world.tab("Ada", user="u-bob", me="u-bob"), await world.tab("Bob")
    await ada.ring(bob.user, **{"from": bob.user, "peer": {"name": "Mum"}, "src": "u-x"})
    assert (await bob.expect("incoming"))["peer"]["name"] == "Ada"


async def test_a_session_of_somebody_else_is_not_had_by_its_name(world: World):
    ada, _bob, call = await world.talking()
    user, token = await world.api.guest("Eve")
    eve = world.new_tab(user, token, name=ada.name)
    welcome = await eve.open()
    assert (welcome["resumed"], welcome["calls"]) == (False, [])
    number = await eve.send("hangup", call)
    assert (await eve.expect("error", of=number))["code"] == "no-such-call"
    assert await ada.quiet() == []


async def test_a_frame_that_is_too_large_ends_the_socket_and_nothing_else(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    await ada.raw("x" * (LONGEST_FRAME + 1))
    assert (await ada.closed())[0] == 1009
    assert await bob.quiet() == []


async def test_malformed_frames_are_told_and_twenty_of_them_end_the_socket(world: World):
    ada = await world.tab("Ada")
    for text in ("{", "[]", '{"type":"ring"}', '{"type":"teleport","seq":1}', "\x00" * 10) * 4:
        await ada.raw(text)
        error = await ada.expect("error")
        assert (error["code"], error["of"]) == ("bad-frame", None)
    assert (await ada.closed())[0] == 4400


@pytest.mark.parametrize(
    "first",
    [
        '{"type":"ping"}',
        '{"type":"hangup","seq":1,"call":"00000000-0000-4000-8000-000000000000"}',
    ],
)
async def test_nothing_is_done_before_hello(world: World, first: str):
    tab = world.new_tab("u-x", "")
    await tab.connect()
    await tab.raw(first)
    assert (await tab.closed())[0] == 4400


async def test_frames_sent_too_fast_are_dropped_and_the_socket_lives(world: World):
    ada = await world.tab("Ada")
    for _ in range(200):
        await ada.raw('{"type": "ping"}')
    assert (await ada.expect("error"))["code"] == "too-many"
    await ada.quiet()


async def test_nobody_rings_more_than_ten_times_a_minute(world: World):
    ada = await world.tab("Ada")
    for _ in range(10):
        await ada.expect("ended", call=await ada.ring("u-echo"), reason="offline")
    number = await ada.send("ring", new_call(), to="u-echo", sdp=SDP)
    assert (await ada.expect("error", of=number))["code"] == "too-many"


async def test_a_user_has_twenty_sessions_at_the_most(world: World):
    ada = await world.tab("Ada")
    for _ in range(19):
        await world.another(ada)
    tab = world.new_tab(ada.user, ada.token)
    await tab.open_unanswered()
    assert await tab.closed() == (4429, "too-many")


async def test_a_client_that_reads_nothing_is_closed_and_others_go_on(world: World):
    ada, bob, call = await world.talking()
    ada.socket.transport.pause_reading()
    for number in range(60):
        await bob.send("offer", call, sdp="x" * 45_000)
        if number % 20 == 19:
            await asyncio.sleep(0)
    assert [frame["code"] for frame in await bob.quiet() if frame["type"] == "error"] in (
        [],
        ["too-many"],
    )
    ada.socket.transport.resume_reading()


async def test_an_error_inside_says_nothing_of_the_inside(world: World):
    ada = await world.tab("Ada")
    await ada.quiet()
    async with world.server.services.database.writing() as connection:
        await connection.exec_driver_sql("ALTER TABLE users RENAME TO gone")
    response = await world.api.ask("GET", "/api/me", ada.token)
    assert error_of(response, 500) == "failed"
    number = await ada.send("ring", new_call(), to="u-echo", sdp=SDP)
    error = await ada.expect("error", of=number)
    assert error["code"] == "failed"
    for said in (response.text, json.dumps(error)):
        assert not any(word in said.lower() for word in ("sql", "traceback", "users", "select"))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"secret": "short"}, "the secret is too short"),
        ({"origins": ("https://app.example.org/page",)}, "is no origin"),
        ({"origins": ("*",)}, "is no origin"),
        ({"turn_uris": ("turn:x",)}, "go together"),
        ({"turn_secret": "x"}, "go together"),
        (
            {"turn_uris": ("turn:x",), "turn_secret": 32 * "x", "secret": 32 * "x"},
            "are the same",
        ),
        ({"external_url": "foo bar"}, "is no URL"),
        ({"guests": False}, "nobody could sign in"),
        ({"turn_uris": ("foo",), "turn_secret": "x"}, "'foo' is no TURN URI"),
        ({"turn_uris": ("turn:a b",), "turn_secret": "x"}, "is no TURN URI"),
        ({"turn_uris": ("turn:h?transport=sctp",), "turn_secret": "x"}, "is no TURN URI"),
    ],
)
def test_settings_that_cannot_work_or_would_let_others_in_are_refused(
    settings, what: str, tmp_path: Path
):
    with pytest.raises(UsageError, match=what):
        Settings(static=tmp_path, **settings)


@pytest.mark.parametrize(
    "uri",
    ["turn:h", "turns:h:443?transport=tcp", "turn:[2001:db8::1]:3478", "turn:{host}:3478"],
)
def test_a_good_turn_uri_is_taken(uri: str):
    assert Settings(turn_uris=(uri,), turn_secret="x").turn_uris == (uri,)
