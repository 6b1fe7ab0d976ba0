"""The scripts that people type first: the tour, and the measurements' two forms."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmarks import Row
from scripts.benchmarks.__main__ import as_table
from tests.needs import CHECKS

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", ".hypothesis", "node_modules"
)

NOBODY = "127.0.0.1:9"
"""Where no STUN server is. The tour's last step asks it instead of public ones."""


@pytest.mark.slow
@pytest.mark.needs("bash")
def test_the_tour_runs_from_a_fresh_copy_with_nothing_but_python(tmp_path: Path):
    copy = tmp_path / "natkit"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    kept = ("PATH", "HOME", "SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    done = subprocess.run(
        ["bash", str(copy / "scripts" / "try")],
        env={**environment, "NATKIT_PROBE_SERVER": NOBODY, "NATKIT_PROBE_TIMEOUT": "1s"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for nat in ("home", "full-cone", "symmetric", "udp-blocked"):
        assert f"natkit lab probe {nat} --backend sim" in done.stdout
    assert "contradicts nothing" in done.stdout
    assert "without the relay there would be no call" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("    .venv-try/bin/natkit doctor")


@pytest.mark.needs("bash")
@pytest.mark.parametrize("script", ["bench", "check", "gen-docs", "pictures"])
def test_a_fresh_clone_is_told_what_to_run_first(script: str, tmp_path: Path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=LEFT_OUT)
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / script)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run scripts/test --fast first" in done.stderr
    assert "No such file" not in done.stderr


def test_a_fresh_machine_gets_every_program_that_a_test_needs():
    script = (ROOT / "scripts" / "test").read_text(encoding="utf-8")
    installed = set(re.findall(r"^    ([\w-]+):[\w-]+$", script, re.MULTILINE))
    needed = {
        need
        for path in ROOT.glob("tests/**/*.py")
        for marker in re.findall(r"mark\.needs\(([^)]*)\)", path.read_text(encoding="utf-8"))
        for need in re.findall(r'"([\w-]+)"', marker)
    }
    assert needed - set(CHECKS) - {"bash"} == installed


def test_every_picture_of_calto_can_be_taken_anew():
    script = (ROOT / "scripts" / "pictures").read_text(encoding="utf-8")
    taken = set(re.findall(r"^    [\w-]+:([\w/-]+)$", script, re.MULTILINE))
    shown = {path.relative_to(ROOT / "docs").with_suffix("") for path in ROOT.glob("docs/*/*.png")}
    assert taken == {path.as_posix() for path in shown}


def test_a_row_says_what_we_take_of_what_the_peer_takes():
    row = Row("parse ICE check", "µs", 3.9012, 8.5, "aioice 0.13")
    assert row.as_json() == {
        "name": "parse ICE check",
        "unit": "µs",
        "ours": 3.9,
        "peer": 8.5,
        "peer_name": "aioice 0.13",
        "ratio": 0.46,
    }


def test_the_table_shows_each_measurement_with_its_unit_and_its_peer():
    text = as_table([Row("parse ICE check", "µs", 3.9012, 8.5, "aioice 0.13")])
    assert re.split(r"  +", text.splitlines()[-1]) == [
        *("parse ICE check", "3.9 µs", "8.5 µs", "0.46", "aioice 0.13")
    ]


@pytest.mark.slow
def test_the_codec_is_measured_against_its_peer():
    words = [sys.executable, "-m", "scripts.benchmarks", "codec", "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["bench"] == "codec"
    assert measured["rows"]
    assert all(row["ratio"] > 0 and row["peer_name"] for row in measured["rows"])
