"""The ways that datagrams come and go, which the portable plane chooses from."""

from __future__ import annotations

import sys

import pytest

from natkit.dataplane import bulk, portable
from natkit.dataplane.ring import open_ring


@pytest.fixture(params=["ring", "messages", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force each of them on the planes of a test."""
    if request.param == "one by one":
        monkeypatch.setattr(portable, "can_bulk", lambda: False)
    elif sys.platform != "linux":
        pytest.skip("only Linux has it")
    elif request.param == "messages":
        monkeypatch.setattr(bulk, "open_ring", lambda _: None)
    elif (ring := open_ring(2)) is None:
        pytest.skip("io_uring is forbidden here")
    else:
        ring.close()
    return request.param
