"""What several of these tests share: a TURN server, a client of raw bytes, a page in a browser."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.turnkit import Peer, RawClient
from tests.turnserver import PROGRAMS, TurnUnderTest, turn_server

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


@pytest.fixture(scope="session", params=PROGRAMS)
def turn(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TurnUnderTest]:
    """A server that relays to 127.0.0.1 to 127.0.0.3 and ::1, where the tests' peers are."""
    where, allow = tmp_path_factory.mktemp("turn"), ("127.0.0.0/30", "::1/128")
    with turn_server(where, allow=allow, program=request.param) as server:
        yield server


@pytest.fixture(params=["udp", "tcp"])
def client(turn: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A fresh client over UDP, then one over TCP."""
    with RawClient(turn, request.param) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty page: WebRTC wants a secure origin, which localhost is."""
    where = tmp_path_factory.mktemp("www")
    (where / "index.html").write_text("<!doctype html><title>call</title>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(where))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()
