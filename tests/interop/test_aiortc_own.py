"""aiortc's own tests of ICE and of peer connections, with natkit's ICE in place."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.interop.source import source_of

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(420)]

FILES = ("tests/test_rtcicetransport.py", "tests/test_rtcpeerconnection.py")

_STATISTICS = "it lists the types of all statistics; ours have candidates and the pair besides"

DIFFERENCES = {
    "test_connection_closed": (
        "it puts another `get_event` into aioice's connection; our transport hears of the loss "
        "from `on_state`"
    ),
    "test_connect_audio_bidirectional": _STATISTICS,
    "test_connect_audio_bidirectional_with_empty_iceservers": _STATISTICS,
    "test_connect_audio_codec_preferences_offerer": _STATISTICS,
    "test_connect_video_bidirectional": _STATISTICS,
}
"""What fails there, and why that is meant."""

USE_NATKIT = "from natkit.aiortc import use_natkit_ice\n\nuse_natkit_ice()\n"


def test_all_pass_but_for_the_differences_that_are_meant(tmp_path: Path):
    source, results = source_of("aiortc", tmp_path), tmp_path / "results.xml"
    (source / "conftest.py").write_text(USE_NATKIT, encoding="utf-8")
    options = ("-c", "/dev/null", "--rootdir", str(source), "-p", "no:randomly", "--timeout=90")
    command = (sys.executable, "-m", "pytest", *options, f"--junit-xml={results}", *FILES)
    done = subprocess.run(
        command, cwd=source, capture_output=True, text=True, timeout=400, check=False
    )
    cases = list(ET.parse(results).getroot().iter("testcase"))
    failed = {
        case.get("name")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert len(cases) > 100, done.stdout + done.stderr
    assert failed == set(DIFFERENCES), done.stdout[-6000:]
