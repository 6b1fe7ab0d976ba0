"""What docs/how-a-call-works.md says of the wire, held against a call that was captured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.call_capture import call

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-a-call-works.md"

USE_SRTP = bytes.fromhex("000e 0005 0002 0008 00")
"""What a ServerHello has when it takes SRTP_AEAD_AES_256_GCM (RFC 5764 §4.1.1, RFC 7714 §14.2)."""

FRAMES = ["hello", "welcome", "ring", "ringing", "accepted", "candidate", "connected", "hangup"]


@pytest.mark.interop
@pytest.mark.root
@pytest.mark.needs("root", "tcpdump", "nsenter", "nft", "ip")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("kinds", "path"),
    [
        (("port-restricted", "port-restricted"), "direct"),
        (("symmetric", "symmetric"), "relayed"),
    ],
    ids=lambda it: "-".join(it) if isinstance(it, tuple) else it,
)
def test_a_captured_call_shows_the_steps_of_the_page(
    kinds: tuple[str, str], path: str, tmp_path: Path
) -> None:
    told = json.loads(call(kinds, tmp_path, seconds=3))
    assert told["path"] == path
    wire = (tmp_path / "alice.pcap").read_bytes()
    # A client masks its frames (RFC 6455 §5.3), so those that came are seen at alice alone.
    for name in ("welcome", "ringing", "accepted"):
        assert f'"type":"{name}"'.encode() in wire
    # Who hangs up may be gone before it is told.
    assert b'"type":"ended"' in (tmp_path / "bob.pcap").read_bytes()
    assert USE_SRTP in wire


def test_the_page_shows_frames_of_the_protocol_in_their_order() -> None:
    shown = re.findall(r'^[→←] \{"type": ?"([a-z]+)"', PAGE.read_text(encoding="utf-8"), re.M)
    first = list(dict.fromkeys(shown))
    assert [name for name in first if name in FRAMES] == FRAMES
