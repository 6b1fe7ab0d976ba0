"""HTTP: signing in, people, history, ICE servers, and one shape for all that is refused."""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64encode
from hashlib import sha1
from typing import Any

import pytest

from calto_demo.server.refusal import STATUS
from tests.calto.clients import new_call
from tests.calto.server.world import TURN_SECRET, World, error_of

pytestmark = pytest.mark.slow

REPORT = {
    "kind": "relayed",
    "local": {"type": "relay", "address": "203.0.113.7", "port": 50000, "protocol": "udp"},
    "relay": "turn:turn.example.org?transport=udp",
    "encryption": "SRTP_AEAD_AES_128_GCM",
    "quality": {"rtt_ms": 20.5, "loss": 0.01},
    "pairs": [{"state": "succeeded", "rtt_ms": 20.5}, {"state": "failed"}],
}


async def test_a_guest_is_who_they_say_until_they_sign_out(world: World):
    user, token = await world.api.guest("  Ada   Lovelace ")
    assert await world.api.get("/api/me", token) == {
        "id": user,
        "name": "Ada Lovelace",
        "kind": "guest",
    }
    assert (await world.api.ask("POST", "/api/sign-out", token)).status_code == 204
    response = await world.api.ask("GET", "/api/me", token)
    assert error_of(response, 401) == "signed-out"
    tab = world.new_tab(user, token)
    await tab.open_unanswered()
    assert await tab.closed() == (4401, "signed-out")


async def test_signing_out_ends_the_sockets_of_that_device_and_no_others(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    await world.api.ask("POST", "/api/sign-out", ada.token)
    assert await ada.closed() == (4401, "signed-out")
    assert await bob.quiet() == []


async def test_a_fresh_token_is_of_the_same_device_and_ends_with_it(world: World):
    _, token = await world.api.guest("Ada")
    fresh = (await world.api.ask("POST", "/api/token", token)).json()["token"]
    await world.api.ask("POST", "/api/sign-out", token)
    assert error_of(await world.api.ask("GET", "/api/me", fresh), 401) == "signed-out"


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b", "a\u202eb", 7, None])
async def test_what_is_no_name_is_refused(world: World, name: Any):
    response = await world.api.ask("POST", "/api/guest", json={"name": name})
    assert error_of(response, 400) == "bad-request"


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "Robert'); DROP TABLE users;--", "李"]
)
async def test_a_name_that_looks_like_code_is_a_name(world: World, name: str):
    _, token = await world.api.guest(name)
    _, other = await world.api.guest("Bob")
    response = await world.api.ask("GET", "/api/people", other, params={"q": name})
    assert [one["name"] for one in response.json()["people"]] == [name]
    assert response.headers["content-type"] == "application/json"
    assert (await world.api.get("/api/me", token))["name"] == name


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"name":', b"\xff", b"[" * 60_000, rb'{"name": "\ud800"}']
)
async def test_a_body_that_is_none_is_refused(world: World, body: bytes):
    assert error_of(await world.api.ask("POST", "/api/guest", content=body), 400) == "bad-request"


async def test_a_body_that_is_too_large_is_refused(world: World):
    body = b'{"name": "' + b"x" * 70_000 + b'"}'
    assert error_of(await world.api.ask("POST", "/api/guest", content=body), 413) == "too-large"


async def test_too_many_guests_from_one_place_have_to_wait(world: World):
    for _ in range(200):
        response = await world.api.ask("POST", "/api/guest", json={"name": "Ada"})
        if response.status_code != 201:
            break
    assert error_of(response, 429) == "too-many"
    assert 0 < int(response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("path", ["/api/nothing", "/api/calls/x", "/api/contacts/x", "/nothing.js"])
async def test_what_is_not_there_is_refused_in_the_same_shape(world: World, path: str):
    _, token = await world.api.guest("Ada")
    response = await world.api.ask("PUT" if "contacts" in path else "GET", path, token)
    assert error_of(response, 404) in STATUS


LIKE_ECHO = {
    "itself": "Echo",
    "any case": " eCHO ",
    "full width": "Ｅｃｈｏ",
    "bold": "𝐄𝐜𝐡𝐨",
    "Cyrillic": "Есһо",
    "Cyrillic, one letter": "Echо",
    "Cyrillic capitals": "ЕСНО",
    "Greek capitals": "ΕϹΗΟ",
    "Greek, one letter": "Echο",
    "Greek, bold": "𝚬cho",
    "Armenian": "Ecհօ",
    "a digit": "Ech0",
    "full width digit": "Ech０",
}


@pytest.mark.parametrize("name", LIKE_ECHO.values(), ids=LIKE_ECHO)
async def test_nobody_takes_the_name_of_the_echo_contact(world: World, name: str):
    response = await world.api.ask("POST", "/api/guest", json={"name": name})
    assert error_of(response, 400) == "bad-request"
    assert "Echo is the contact" in response.text
    await world.api.guest(f"{name} of Ada")


@pytest.mark.parametrize("name", ["Эхо", "Есно", "Ηχώ", "エコー", "Écho", "Eco", "Ada Есhо"])
async def test_a_name_that_only_reminds_of_the_echo_contact_may_be_had(world: World, name: str):
    await world.api.guest(name)


async def test_contacts_are_seen_when_they_are_offline(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    response = await world.api.ask("PUT", f"/api/contacts/{bob.user}", ada.token)
    assert response.status_code == 204
    await bob.close()
    people = await world.people(ada)
    while people[bob.user]["online"]:
        people = await world.people(ada)
    assert people[bob.user]["contact"] is True
    await world.api.ask("DELETE", f"/api/contacts/{bob.user}", ada.token)
    assert bob.user not in await world.people(ada)


async def test_what_each_side_measured_is_kept_with_the_call(world: World):
    ada, bob, call = await world.talking()
    path = f"/api/calls/{call}/path"
    response = await world.api.ask("POST", path, ada.token, json=REPORT)
    assert response.json() == {"explanation": ""}  # nothing of a search was told
    await world.api.ask("POST", path, bob.token, json={"kind": "unknown"})
    await world.api.ask("POST", path, bob.token, json={"kind": "direct"})
    [record] = (await world.api.get("/api/calls", bob.token))["calls"]
    assert record["mine"]["kind"] == "direct"
    theirs = record["theirs"]
    assert {key: theirs[key] for key in ("kind", "local", "relay")} == {
        key: REPORT[key] for key in ("kind", "local", "relay")
    }
    assert theirs["quality"]["loss"] == 0.01
    assert [pair["state"] for pair in theirs["pairs"]] == ["succeeded", "failed"]
    eve, token = await world.api.guest("Eve")
    response = await world.api.ask("POST", path, token, json=REPORT)
    assert eve, error_of(response, 404) == "no-such-call"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "teleported"},
        {"search": {"role": "judge"}},
        {"search": {"role": "controlled", "asked": [{"url": "https://example.org"}]}},
        {"search": {"role": "controlled", "asked": [{"url": "stun:example.org", "error": 9}]}},
        {"search": {"role": "controlled", "local": [{"type": "host", "address": "a b"}]}},
        {"pairs": [{}] * 101},
        {"quality": {"loss": 1.5}},
        {"local": {"type": "host", "port": 65536}},
    ],
)
async def test_a_report_of_another_shape_is_refused(world: World, changes: dict[str, Any]):
    ada, _, call = await world.talking()
    response = await world.api.ask(
        "POST", f"/api/calls/{call}/path", ada.token, json=REPORT | changes
    )
    assert error_of(response, 400) == "bad-request"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/calls?before=nan", None),
        ("GET", "/api/calls?before=1e400", None),
        ("GET", "/api/calls?limit=-1", None),
        ("GET", "/api/calls?limit=0", None),
        ("GET", "/api/calls?limit=101", None),
        ("GET", "/api/calls?limit=1000000000000000000000", None),
        ("PATCH", "/api/me", '{"name": "echo"}'),
        ("PUT", "/api/contacts/{me}", None),
        ("PATCH", "/api/me", '{"name": "\\ud800"}'),
    ],
)
async def test_what_makes_no_sense_is_refused_and_not_answered_with_nothing(
    world: World, method: str, path: str, body: str | None
):
    user, token = await world.api.guest("Ada")
    response = await world.api.ask(method, path.format(me=user), token, content=body)
    assert error_of(response, 400) == "bad-request"
    assert "truncated" not in response.text


async def test_a_turn_login_is_for_this_user_and_call_and_what_the_server_takes(world: World):
    user, token = await world.api.guest("Ada")
    call = new_call()
    given = await world.api.get(f"/api/ice?call={call}", token)
    turn = given["iceServers"][1]
    assert turn["urls"] == ["turn:turn.example.org"]
    assert turn["username"] == f"{given['expires_at']}:{user}:{call}"
    password = hmac.digest(TURN_SECRET.encode(), turn["username"].encode(), sha1)
    assert turn["credential"] == b64encode(password).decode()
    assert given["stun"] == ["stun:turn.example.org"]
    check = await world.api.get("/api/ice", token)
    assert check["iceServers"][1]["username"].endswith(f"{user}:check")
    response = await world.api.ask("GET", "/api/ice?call=x:y", token)
    assert error_of(response, 400) == "bad-request"


async def test_a_front_end_of_an_allowed_origin_may_ask_and_another_may_not(world: World):
    ours, theirs = "https://app.example.org", "https://evil.example"
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = await world.api.ask("OPTIONS", "/api/guest", headers={"Origin": ours} | asks)
    assert allowed.headers["access-control-allow-origin"] == ours
    denied = await world.api.ask("OPTIONS", "/api/guest", headers={"Origin": theirs} | asks)
    assert "access-control-allow-origin" not in denied.headers
    response = await world.api.ask("GET", "/api/server", headers={"Origin": ours})
    assert response.headers["access-control-allow-origin"] == ours
    assert "access-control-allow-credentials" not in response.headers


async def test_who_watches_sees_calls_sockets_and_refusals(world: World):
    await world.talking()
    await world.api.ask("GET", "/api/me")
    text = (await world.api.ask("GET", "/metrics")).text
    for line in (
        "calto_calls_total 1.0",
        "calto_sockets 2.0",
        'calto_refused_total{code="no-token"}',
    ):
        assert line in text


async def test_without_a_web_app_the_page_says_how_to_build_it(world: World):
    assert "npm run build" in (await world.api.ask("GET", "/")).text


async def test_a_web_app_is_served_with_its_screens_and_kept_from_being_framed(world: World):
    (world.static / "assets").mkdir()
    (world.static / "index.html").write_text("the page")
    (world.static / "assets" / "app-1a2b.js").write_text("the code")
    again = await world.again()
    page = await again.ask("GET", "/?server=x")
    assert page.text == "the page"
    assert page.headers["cache-control"] == "no-cache"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "immutable" in (await again.ask("GET", "/assets/app-1a2b.js")).headers["cache-control"]
    gone = ("/assets/gone.js", "/auth/login?return_to=/", "/api/nope", "/no/such/page", "/ws")
    for path in gone:
        assert error_of(await again.ask("GET", path), 404) == "not-found"
    assert error_of(await again.ask("GET", "/..%2f..%2fetc/passwd.txt"), 404) == "not-found"


async def test_a_wrong_address_is_told_to_people_on_a_page(world: World):
    (world.static / "index.html").write_text("the page")
    (world.static / "404.html").write_text("there is no such page")
    again = await world.again()
    response = await again.ask("GET", "/no/such/page")
    assert (response.status_code, response.text) == (404, "there is no such page")
    assert error_of(await again.ask("GET", "/api/nope"), 404) == "not-found"


async def half_sent(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin a request whose body does not come."""
    host, _, port = world.api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/guest HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    return reader, writer


async def test_a_body_that_does_not_come_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("calto_demo.server.requests.BODY_TIME", 0.05)
    reader, writer = await half_sent(world)
    async with asyncio.timeout(4):  # less than a kept connection is left open
        answer = (await reader.read()).decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"code":"too-slow"' in answer
    writer.close()


async def test_who_goes_away_amid_a_request_is_no_trouble_of_ours(
    world: World, caplog: pytest.LogCaptureFixture
):
    _, writer = await half_sent(world)
    await world.api.get("/api/server")
    writer.transport.abort()
    for _ in range(3):
        await world.api.get("/api/server")
    assert "Traceback" not in caplog.text
