"""What Linux's error queue says, from the bytes of its ancillary data."""

from __future__ import annotations

import struct

import pytest

from natkit.aio.errqueue import _parse
from natkit.aio.sockaddr import Scopes

NOBODY = Scopes(lambda look_up: look_up())
ICMP, ICMP6, LOCAL = 2, 3, 1


def extended_error(origin: int, kind: int, code: int, info: int) -> bytes:
    """Return a `struct sock_extended_err` without an offender."""
    return struct.pack("=IBBBBIIH", 111, origin, kind, code, 0, info, 0, 0)


@pytest.mark.parametrize(("origin", "kind", "code"), [(ICMP, 3, 4), (ICMP6, 2, 0)])
def test_mtu_is_told_where_something_did_not_fit(origin: int, kind: int, code: int) -> None:
    error = _parse(extended_error(origin, kind, code, 1280), NOBODY, ())
    assert error is not None
    assert (error.kind, error.code, error.mtu) == (kind, code, 1280)


@pytest.mark.parametrize(
    ("origin", "kind", "code", "info"), [(ICMP, 3, 3, 1280), (ICMP6, 3, 0, 1280), (ICMP, 3, 4, 0)]
)
def test_other_errors_tell_no_mtu(origin: int, kind: int, code: int, info: int) -> None:
    error = _parse(extended_error(origin, kind, code, info), NOBODY, ())
    assert error is not None
    assert error.mtu is None


def test_errors_of_this_host_are_none() -> None:
    assert _parse(extended_error(LOCAL, 3, 4, 1280), NOBODY, ()) is None
