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


def test_missing_name_server_is_told_and_ends_with_0(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SocketNetwork, "resolve", no_name_server)
    monkeypatch.setattr(SocketNetwork, "source_for", lambda *_: "192.0.2.2")
    result = CliRunner().invoke(main, ["doctor", "--json"])
    document = json.loads(result.stdout)
    assert document["schema"] == "natkit.doctor/1"
    assert (result.exit_code, document["ready"]["probe"]) == (0, True)
    [names] = [one for one in document["findings"] if one["name"] == "names of STUN servers"]
    assert (names["able"], "--server" in names["mend"]) == (False, True)
    areas = {finding["area"] for finding in document["findings"]}
    assert areas == {"probe", "serve", "relay", "lab"}


def test_machine_without_any_route_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SocketNetwork, "resolve", no_name_server)
    monkeypatch.setattr(SocketNetwork, "source_for", lambda *_: None)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["ready"]["probe"]) == (1, False)


def test_relaying_in_the_kernel_stands_under_the_command_that_does_it():
    lines = as_text([Finding("relay", "relaying in the kernel", False, "no CAP_BPF")]).splitlines()
    [at] = [n for n, line in enumerate(lines) if "relaying in the kernel" in line]
    assert "natkit turn serve" in lines[at - 1]


def test_what_is_missing_comes_with_its_mend():
    lines = as_text([GOOD, LACKING]).splitlines()
    [at] = [n for n, line in enumerate(lines) if "IPv6" in line]
    assert lines[at + 1].strip() == "Connect to one"


def test_an_area_is_ready_without_what_it_does_not_need():
    assert as_document([GOOD, LACKING, BROKEN])["ready"] == {
        "probe": True,
        "serve": True,
        "relay": True,
        "lab": False,
    }
