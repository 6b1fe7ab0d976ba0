"""A test that cannot run says why; where everything is installed it must not be skipped."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import cannot_run
from tests.needs import missing


def test_a_program_that_is_not_there_is_named():
    assert missing("no-such-program") == "the program no-such-program is not installed"


def test_a_program_that_is_there_is_not_missing():
    assert missing("cmd" if sys.platform == "win32" else "sh") is None


@pytest.mark.parametrize(("uid", "reason"), [(0, None), (1000, "not root")])
def test_root_is_user_0(monkeypatch: pytest.MonkeyPatch, uid: int, reason: str | None):
    monkeypatch.setattr("os.geteuid", lambda: uid, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert missing("root") == reason


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_whatcannot_run_is_skipped_and_in_ci_fails(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="not root"):
        cannot_run("not root")
