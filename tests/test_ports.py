"""Ports that tests draw: free ones, and not those of a neighbour."""

from __future__ import annotations

import socket

import pytest

from tests import ports
from tests.ports import PORTS, free_port, is_free


def test_no_port_is_drawn_twice_in_a_row() -> None:
    drawn = [free_port(1) for _ in range(50)]
    assert len(set(drawn)) == 50
    assert all(port in PORTS for port in drawn)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_used_is_not_free(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        assert not is_free(sock.getsockname()[1])


def test_test_processes_side_by_side_share_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    shares = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        shares.append(ports._share())
    assert [port for share in shares for port in share] == list(PORTS)
