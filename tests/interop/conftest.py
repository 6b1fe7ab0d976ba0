"""What several of these tests share: a TURN server, a client of raw bytes, a page in a browser."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.turnfixtures import around, beside, client, peer, turn  # noqa: F401 - for pytest

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--ignore-certificate-errors",
    "--host-resolver-rules=MAP localhost 127.0.0.1",
)


@pytest.fixture
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty page: WebRTC wants a secure origin, which localhost is."""
    where = tmp_path_factory.mktemp("www")
    (where / "index.html").write_text("<!doctype html><title>call</title>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(where))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()
