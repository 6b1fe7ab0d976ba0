"""What a machine can do, and the words where it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from natkit.errors import Unsupported
from natkit.lab import netns
from natkit.lab.netns import Capability, Need, Privilege, programs


def test_another_system_is_sent_to_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = netns.capability()
    assert not found.ready
    with pytest.raises(Unsupported, match=r"darwin.*--backend sim"):
        found.require()


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None if name == "nft" else f"/bin/{name}")
    with pytest.raises(Unsupported, match=r"no program nft.*apt install nftables"):
        netns.capability().require()


def test_a_refusal_by_the_kernel_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: list[str], text: str = "") -> str:
        raise Unsupported("no", why="unshare failed: Operation not permitted")

    monkeypatch.setattr(programs, "find", lambda name: f"/bin/{name}")
    monkeypatch.setattr(programs, "run", refuse)
    found = netns.capability()
    assert found.privilege is None
    with pytest.raises(Unsupported, match=r"Operation not permitted.*Run as root"):
        found.require()


def test_what_is_ready_requires_nothing() -> None:
    Capability(Privilege.ROOT, (Need("program ip", True, "/bin/ip"),)).require()


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip", "tc", "unshare", "setpriv")
def test_root_with_all_programs_is_ready() -> None:
    found = netns.capability()
    assert found.ready, found.needs
    assert found.privilege is Privilege.ROOT


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip", "tc", "unshare", "setpriv")
def test_root_is_prepared_as_it_is() -> None:
    before = Path("/proc/self/ns/user").readlink()
    netns.prepare()
    assert Path("/proc/self/ns/user").readlink() == before
