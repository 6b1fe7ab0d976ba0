"""The container images: what their Dockerfiles say is carried out, and what they make serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images import ROOT, Image

PACKAGING = ROOT / "packaging"

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("root", "unshare", "setpriv", "ip"),
    pytest.mark.timeout(600),
]


def asked(port: int, path: str) -> str:
    """Return a shell's words that ask until an answer comes, and print it."""
    return f"""
    python - <<'END'
import time, urllib.request
for _ in range(300):
    try:
        with urllib.request.urlopen("http://127.0.0.1:{port}{path}", timeout=10) as answer:
            print("answered", answer.status, answer.read().decode())
            break
    except OSError:
        time.sleep(0.1)
END"""


def test_turn_server_of_the_image_starts_without_a_right_and_with_nothing_to_write(tmp_path: Path):
    image = Image.built(PACKAGING / "Dockerfile", tmp_path / "root")
    config = (PACKAGING / "turn.toml").read_text().replace("change-me: openssl rand", "of-its-own")
    config += '\nrelay-address = ["127.0.0.1=127.0.0.1"]\n'
    (image.root / "etc" / "natkit").mkdir()
    (image.root / "etc" / "natkit" / "turn.toml").write_text(config)
    ended = image.started(then=asked(9641, "/readyz"), read_only=True)
    assert "answered 200 ready" in ended.stdout, ended.stderr
    assert ended.returncode == 0
    assert "stopped" in ended.stderr


def test_calto_of_the_image_serves_pages_and_keeps_its_database_in_the_volume(tmp_path: Path):
    image = Image.built(PACKAGING / "calto.Dockerfile", tmp_path / "root")
    then = asked(8000, "/readyz") + asked(8000, "/")
    ended = image.started(then=then)
    assert "answered 200" in ended.stdout, ended.stderr
    assert "<!doctype html>" in ended.stdout.lower()
    assert ended.returncode == 0
    assert list((image.root / "data").glob("*.db"))
