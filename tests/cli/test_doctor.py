"""`natkit doctor` as it is typed, on whatever machine this is."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from natkit.aio.network import SocketNetwork
from natkit.cli.doctor import as_document, as_text
from natkit.cli.main import main
from natkit.network import Family
from natkit.tools.doctor import Finding

GOOD = Finding("probe", "UDP", True, "hears itself")
LACKING = Finding("probe", "IPv6", False, "no route", "Connect to one", needed=False)
BROKEN = Finding("lab", "nft", False, "not found", "Install it")


async def no_name_server(network: SocketNetwork, host: str, family: Family) -> tuple[str, ...]:
    return ()


def test_it_runs_here_and_without_names_it_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SocketNetwork, "resolve", no_name_server)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    document = json.loads(result.stdout)
    assert document["schema"] == "natkit.doctor/1"
    assert (result.exit_code, document["ready"]["probe"]) == (1, False)
    assert {finding["area"] for finding in document["findings"]} == {"probe", "serve", "lab"}


def test_what_is_missing_comes_with_its_mend():
    lines = as_text([GOOD, LACKING]).splitlines()
    [at] = [n for n, line in enumerate(lines) if "IPv6" in line]
    assert lines[at + 1].strip() == "Connect to one"


def test_an_area_is_ready_without_what_it_does_not_need():
    assert as_document([GOOD, LACKING, BROKEN])["ready"] == {
        "probe": True,
        "serve": True,
        "lab": False,
    }
