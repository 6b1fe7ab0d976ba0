"""What `natkit.aiortc` relies on in aiortc, which promises none of it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtcpeerconnection

from natkit.aiortc import adapter

VERSION = "1.16.0"
"""The aiortc that the fingerprints are of."""

FINGERPRINTS = {
    "RTCIceGatherer.__init__": "c908864f648a",
    "RTCIceGatherer.gather": "5a48693665f1",
    "RTCIceGatherer.__setState": "65a0c01e39ab",
    "RTCIceGatherer.getLocalCandidates": "65579beda965",
    "RTCIceGatherer.getLocalParameters": "623c195390b6",
    "RTCIceTransport.__init__": "49fb84ab4aae",
    "RTCIceTransport.addRemoteCandidate": "a235edc535c8",
    "RTCIceTransport.start": "aefa0e2562f1",
    "RTCIceTransport.stop": "19ae295bf34b",
    "RTCIceTransport.__setState": "3b6f05a01ff0",
    "RTCDtlsTransport.__init__": "6c45f6c117cb",
    "RTCDtlsTransport._recv_next": "1cdf6cfa565f",
    "RTCDtlsTransport._get_stats": "be94a4e35a81",
    "RTCDtlsTransport.stop": "1423d2fd5b5c",
    "RTCPeerConnection.__init__": "a4198cc4f68b",
    "RTCPeerConnection.addIceCandidate": "d70c5da73b8c",
    "RTCPeerConnection.close": "fae1ed8683f9",
    "RTCPeerConnection.createOffer": "f09344a623d3",
    "RTCPeerConnection.setLocalDescription": "0dbc3790175f",
    "RTCPeerConnection.setRemoteDescription": "8a664a54d1b1",
    "RTCPeerConnection.__connect": "b8b867a6a929",
    "RTCPeerConnection.__createDtlsTransport": "18c493a336c2",
    "RTCPeerConnection.__createSctpTransport": "d49d5ee11cb1",
    "RTCPeerConnection.__createTransceiver": "5f90d53afb76",
    "RTCPeerConnection.__gather": "04ac4b934e50",
    "RTCPeerConnection.__updateConnectionState": "81ef4419ef14",
    "RTCPeerConnection.__updateIceConnectionState": "0529a4b844c9",
    "RTCPeerConnection.__updateIceGatheringState": "991f986c8d73",
    "add_transport_description": "7ffe5a706a51",
    "add_remote_candidates": "c989296b6b1d",
}
"""Of the functions whose inside the adapter relies on, or whose place it takes."""

CLASSES = {cls.__name__: cls for cls in adapter.STANDS_ON}
SOURCE = Path(str(adapter.__file__))


def mangled(owner: str, name: str) -> str:
    """Return the name that Python gives an attribute in a class."""
    return f"_{owner}{name}" if name.startswith("__") and not name.endswith("__") else name


def found_in_aiortc(name: str) -> Callable[..., Any]:
    """Return the function of that name: "Class.method", or one of the peer connection's module."""
    owner, _, method = name.rpartition(".")
    function = vars(CLASSES[owner])[mangled(owner, method)] if owner else None
    found: Callable[..., Any] = function or getattr(rtcpeerconnection, method)
    return found


def fingerprint(function: Callable[..., Any]) -> str:
    """Return what changes with a function's code, and not with its comments or layout."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    if ast.get_docstring(definition) is not None:
        del definition.body[0]
    return hashlib.sha256(ast.unparse(definition).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_aiortc_still_does_what_the_adapter_was_written_for(name: str):
    found = fingerprint(found_in_aiortc(name))
    version = importlib.metadata.version("aiortc")
    assert found == FINGERPRINTS[name], (
        f"{name} in aiortc {version} is not what it was in {VERSION}. See what "
        f"natkit/aiortc/adapter.py relies on there, mend that, and only then write {found} here"
    )


def used() -> Iterator[str]:
    """Yield the private names of aiortc's classes that the adapter speaks of, as they are there."""
    known = set().union(*map(adapter.names_in, CLASSES.values()))
    for top in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        within = top.name if isinstance(top, ast.ClassDef) else ""
        for node in ast.walk(top):
            name = getattr(node, "attr", None) or getattr(node, "name", None) or ""
            if name.startswith("_") and not name.endswith("__") and mangled(within, name) in known:
                yield mangled(within, name)


def test_every_private_name_in_use_is_listed_and_every_listed_one_in_use():
    listed = {
        mangled(cls.__name__, name) for cls, names in adapter.STANDS_ON.items() for name in names
    }
    assert listed == set(used())


@pytest.mark.slow
def test_import_fails_and_names_what_a_changed_aiortc_lacks():
    program = (
        "from aiortc import RTCPeerConnection\n"
        "del RTCPeerConnection._RTCPeerConnection__gather\n"
        "import natkit.aiortc\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "has no RTCPeerConnection.__gather, which natkit.aiortc stands on" in done.stderr


@pytest.mark.slow
def test_use_natkit_ice_reaches_names_that_were_imported_before():
    program = (
        "import asyncio\n"
        "from aiortc import RTCIceGatherer, RTCPeerConnection\n"
        "import natkit.aiortc\n"
        "class Own(RTCPeerConnection): pass\n"
        "async def main():\n"
        "    assert type(RTCPeerConnection()) is RTCPeerConnection\n"
        "    natkit.aiortc.use_natkit_ice()\n"
        "    natkit.aiortc.use_natkit_ice()\n"
        "    assert type(RTCPeerConnection()) is natkit.aiortc.RTCPeerConnection\n"
        "    assert type(RTCIceGatherer()) is natkit.aiortc.RTCIceGatherer\n"
        "    assert type(Own()) is Own\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
