"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_libc: Any = ctypes.PyDLL(None) if sys.platform == "linux" else None


def system_call(name: str) -> Any:
    """Return a function of the C library; None: it has none such.

    Calls take half the time without `argtypes`, and a tenth less with the interpreter held, and
    with errno left where it is.
    """
    return getattr(_libc, name, None)


def last_error() -> int:
    """Return the errno of the system call that has just failed, by this thread."""
    return int(_errno_at()[0])


def as_error(code: int) -> OSError:
    """Return the exception for an errno."""
    return OSError(code, os.strerror(code))


_errno_at = system_call("__errno_location")
if _errno_at is not None:
    _errno_at.restype = ctypes.POINTER(ctypes.c_int)
