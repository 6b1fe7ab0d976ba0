"""What the kernel refuses is told in words that help."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from natkit.dataplane.kernel.assembler import Assembler
from natkit.dataplane.kernel.syscalls import (
    BpfRefused,
    MapKind,
    create_map,
    delete,
    load_program,
    update,
)

root = pytest.mark.root


def test_missing_capability_is_named() -> None:
    told = str(BpfRefused("make a map of 8 entries", errno.EPERM))
    assert "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in told


def test_program_of_somebody_else_is_named() -> None:
    assert "Another XDP program is there" in str(BpfRefused("attach a program", errno.EBUSY))


def test_old_kernel_is_named() -> None:
    assert "Linux 5.9" in str(BpfRefused("make a map", errno.ENOSYS))


@root
@pytest.mark.needs("root")
def test_verifier_says_what_it_did_not_like() -> None:
    a = Assembler()
    a.leave()  # without a verdict
    with pytest.raises(BpfRefused, match="R0 !read_ok") as refused:
        load_program(a.assemble(), "wrong")
    assert "R0 !read_ok" in refused.value.log


@root
@pytest.mark.needs("root")
def test_full_map_takes_no_more_and_forgets_what_is_deleted() -> None:
    descriptor = create_map(MapKind.HASH, 4, 4, 1)
    try:
        update(descriptor, b"1234", b"abcd")
        with pytest.raises(BpfRefused, match="take an entry into its table"):
            update(descriptor, b"5678", b"abcd")
        delete(descriptor, b"1234")
        delete(descriptor, b"1234")  # there is none any more
        update(descriptor, b"5678", b"abcd")
    finally:
        os.close(descriptor)


@root
@pytest.mark.needs("root")
def test_map_without_entries_is_refused() -> None:
    with pytest.raises(BpfRefused, match="make a map of 0 entries"):
        create_map(MapKind.HASH, 4, 4, 0)


@root
@pytest.mark.needs("root", "setpriv")
@pytest.mark.parametrize(
    ("capabilities", "told"),
    [
        ("+bpf,+net_admin,+perfmon", "None"),
        ("+bpf,+net_admin", "needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"),
        ("+net_admin", "needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"),
    ],
)
def test_three_capabilities_are_enough_and_each_is_needed(capabilities: str, told: str) -> None:
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    words += ["--inh-caps", f"-all,{capabilities}", "--ambient-caps", f"-all,{capabilities}"]
    program = "from natkit.tools.relay_fast_path import refusal; print(refusal())"
    done = subprocess.run(
        [*words, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told in done.stdout


@root
@pytest.mark.needs("root")
def test_signal_while_the_kernel_verifies_is_no_refusal() -> None:
    """Such as a child that ends, or the timer of a profiler."""
    program = """
import signal, time
from natkit.dataplane.kernel.table import FastTable

came = []
signal.signal(signal.SIGALRM, lambda *_: came.append(time.monotonic()))
took = time.monotonic()
FastTable(2).close()
took = time.monotonic() - took
for part in (4, 3, 2):
    signal.setitimer(signal.ITIMER_REAL, took / part)
    FastTable(2).close()
print(len(came))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


@root
@pytest.mark.needs("root")
def test_signals_without_end_are_named_in_the_end() -> None:
    program = """
import signal
from natkit.tools.relay_fast_path import refusal

signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
told = refusal()
signal.setitimer(signal.ITIMER_REAL, 0)
print(told)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Signals came each time" in done.stdout
