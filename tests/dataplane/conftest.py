"""The ways that datagrams come and go, which the portable plane chooses from."""

from __future__ import annotations

import asyncio
import sys

import pytest

from natkit.dataplane import portable
from natkit.dataplane.arrivals import open_rings


@pytest.fixture(params=["ring", "messages", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force each of them on the planes of a test."""
    if request.param == "one by one":
        monkeypatch.setattr(portable, "can_bulk", lambda: False)
    elif sys.platform != "linux":
        pytest.skip("only Linux has it")
    elif request.param == "messages":
        monkeypatch.setattr(portable, "open_rings", lambda _: None)
    else:
        loop = asyncio.new_event_loop()
        rings = open_rings(loop)
        if rings is None:
            pytest.skip("io_uring is forbidden here")
        rings.close()
        loop.close()
    return request.param
