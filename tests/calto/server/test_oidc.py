"""Sign-in at an OpenID Connect provider, end to end against one that runs here."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx2 import AsyncClient

from calto_demo.server.running import running
from calto_demo.server.settings import Provider
from tests.calto.real_servers import oidc_provider
from tests.calto.server.world import error_of, settings_in

pytestmark = [pytest.mark.interop]

ADA = {"sub": "ada-7", "name": "Ada Lovelace", "email": "ada@example.org"}
BOB = {"sub": "bob-8", "name": "\u202e\x00"}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with oidc_provider(ADA, BOB) as issuer:
        yield issuer


@pytest.fixture
async def calto(provider: str, empty_database: Path, tmp_path: Path) -> AsyncIterator[str]:
    shutil.copy(empty_database, tmp_path)
    at = Provider(provider, "calto", "hush", "Local")
    async with running(replace(settings_in(tmp_path), provider=at)) as server:
        yield server.url


@pytest.fixture
async def browser() -> AsyncIterator[AsyncClient]:
    """What a browser is here: it keeps cookies, and goes where it is sent step by step."""
    async with AsyncClient(timeout=20, trust_env=False, verify=False) as client:
        yield client


async def signed_in(browser: AsyncClient, calto: str, sub: str, target: str = "/") -> str:
    """Sign in as somebody; returns where the browser lands."""
    begun = await browser.get(f"{calto}/auth/login", params={"return_to": target})
    assert begun.status_code == 302, begun.text
    asked = begun.headers["location"]
    query = parse_qs(urlsplit(asked).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["nonce"]
    consented = await browser.post(asked, data={"sub": sub})
    assert consented.status_code == 302, consented.text
    landed = await browser.get(consented.headers["location"])
    assert landed.status_code == 303, landed.text
    return str(landed.headers["location"])


def said(location: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(location).fragment)


async def me(browser: AsyncClient, calto: str, token: str) -> dict[str, str]:
    response = await browser.get(f"{calto}/api/me", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    user: dict[str, str] = response.json()
    return user


async def test_who_signs_in_is_the_same_user_each_time(browser: AsyncClient, calto: str):
    users = []
    for target in ("/", "/people", "https://app.example.org/in?x=1"):
        landed = await signed_in(browser, calto, "ada-7", target)
        assert landed.startswith(f"{target}#token=")
        users.append(await me(browser, calto, said(landed)["token"][0]))
    assert users[0] == users[1] == users[2]
    assert (users[0]["name"], users[0]["kind"]) == ("Ada Lovelace", "account")


async def test_a_name_that_is_none_is_not_taken_from_the_provider(browser, calto: str):
    token = said(await signed_in(browser, calto, "bob-8"))["token"][0]
    assert (await me(browser, calto, token))["name"] == "somebody"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example\\@app.example.org/",
        "https://app.example.org@evil.example/",
        "javascript:alert(1)",
    ],
)
async def test_nobody_is_sent_to_another_site_with_their_token(browser, calto: str, target: str):
    response = await browser.get(f"{calto}/auth/login", params={"return_to": target})
    assert error_of(response, 403) == "bad-origin"


async def test_an_answer_that_nobody_asked_for_signs_nobody_in(browser, calto: str):
    """Cross-site: the attacker's own code and state, handed to the victim's browser."""
    begun = await browser.get(f"{calto}/auth/login")
    consented = await browser.post(begun.headers["location"], data={"sub": "ada-7"})
    browser.cookies.clear()
    landed = await browser.get(consented.headers["location"])
    assert said(landed.headers["location"]) == {"error": ["sign-in-failed"]}


async def test_a_code_that_is_made_up_signs_nobody_in(browser: AsyncClient, calto: str):
    begun = await browser.get(f"{calto}/auth/login")
    state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
    landed = await browser.get(f"{calto}/auth/callback", params={"code": "x", "state": state})
    assert said(landed.headers["location"]) == {"error": ["sign-in-failed"]}


async def test_a_provider_that_is_away_is_told_to_the_page(
    browser: AsyncClient, empty_database: Path, tmp_path: Path
):
    shutil.copy(empty_database, tmp_path)
    at = Provider("http://127.0.0.1:1", "calto", "hush", "Local")
    async with running(replace(settings_in(tmp_path), provider=at)) as server:
        landed = await browser.get(f"{server.url}/auth/login")
        assert said(landed.headers["location"]) == {"error": ["provider-unreachable"]}
        ways = (await browser.get(f"{server.url}/api/server")).json()["sign_in"]
        assert ways["oidc"] == {"name": "Local", "url": "/auth/login"}
