"""Two Chromiums and a server for the tests of Calto's pages, started once for each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.calto.browsers import CaltoUnderTest, Somebody, calto, open_browser, write_tone

TONES = (440, 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaltoUnderTest]:
    with calto(tmp_path_factory.mktemp("calto")) as running:
        yield running


@pytest.fixture(scope="module")
def chromiums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """One for each of `TONES`."""
    playwright = pytest.importorskip("playwright.sync_api")
    where = tmp_path_factory.mktemp("tones")
    with playwright.sync_playwright() as driver:
        browsers = []
        for hertz in TONES:
            write_tone(where / f"{hertz}.wav", hertz)
            browsers.append(open_browser(driver, where / f"{hertz}.wav"))
        yield browsers
        for browser in browsers:
            browser.close()


@pytest.fixture
def arrive(server: CaltoUnderTest, chromiums: list[Any]) -> Iterator[Callable[..., Somebody]]:
    """Sign somebody in; the first says the first tone, whoever comes later the other."""
    there: list[Somebody] = []

    def come(name: str, url: str = "", **context: Any) -> Somebody:
        which = min(len(there), 1)
        there.append(Somebody(chromiums[which], name, TONES[which], **context))
        return there[-1].sign_in(url or server.url)

    yield come
    for somebody in there:
        somebody.leave()
