"""Calto's pages at what a server of one's own has besides: an account's sign-in, a certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.calto.browsers import Somebody, calto
from tests.calto.real_servers import oidc_provider

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

Arrive = Callable[..., Somebody]


def test_the_button_of_a_provider_signs_in_by_the_name_that_it_knows(
    chromiums: list[Any], tmp_path: Path
) -> None:
    ada = Somebody(chromiums[0], "Ada", 440)
    with oidc_provider({"sub": "ada-7", "name": "Ada Lovelace"}) as issuer:
        words = ("--oidc-issuer", issuer, "--oidc-client-id", "calto", "--oidc-name", "Local")
        with calto(tmp_path, *words, "--oidc-client-secret", "hush") as server:
            ada.page.goto(server.url)
            ada.page.get_by_role("link", name="Sign in with Local").click()
            assert ada.page.url.startswith(issuer)
            ada.page.locator("input[name=sub]").fill("ada-7")
            ada.page.locator("input[name=sub]").press("Enter")
            ada.page.get_by_text("Online", exact=True).first.wait_for(state="attached")
            ada.page.get_by_role("button", name="Ada Lovelace, your account").wait_for()
            # The token does not stay where others could read it.
            assert "#" not in ada.page.url
    ada.leave()


def test_the_check_before_a_call_goes_through_the_relay_over_tls(
    arrive: Arrive, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(chain)
    # On ports that the system picks: 5349 may be somebody's.
    with calto(tmp_path, "--tls", str(chain), "--turn-port", "0") as server:
        ada = arrive("Ada", server.url, ignore_https_errors=True)
        ada.press("Check before a call")
        ada.page.get_by_text("Calls will work").wait_for(timeout=60_000)
        step = ada.page.locator("[data-step]").filter(has_text="Relay over TLS")
        assert step.get_attribute("data-state") == "good", step.inner_text()
