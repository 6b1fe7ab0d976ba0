"""A TURN server that clients and peers reach by a wire, where the kernel forwards what it can.

Two machines in namespaces, two links between them: the server on one; clients and peers, and the
tests that are either, on the other. So that a test need not know, its thread goes in there.
"""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from natkit.lab.netns.namespace import Namespace
from tests.dataplane.kernel.ground import V4, V6, join, machines
from tests.ports import free_port
from tests.turnserver import Around, TurnUnderTest, turn_server

ALLOWED = ("10.9.2.0/24", "fd00:2::/64", V4.client)
"""All that clients and peers have, but for SOURCES."""
PEERS = ("10.9.2.2", "10.9.2.3", "10.9.2.4")
SOURCES = "10.64.0.0/10"
"""Every one of them is this machine's, as all of 127/8 is everybody's."""


@contextlib.contextmanager
def turn_server_beyond(where: Path, *words: str, **options: object) -> Iterator[TurnUnderTest]:
    """Run natkit with its fast path until the block ends: see `turn_server`."""
    with contextlib.ExitStack() as stack:
        outside, relay = stack.enter_context(machines("outside", "relay"))
        join(relay, "client", outside, "near", (V4.server, V6.server), (V4.client, V6.client))
        join(relay, "peer", outside, "far", (V4.relayed, V6.relayed), (PEERS[0], V6.peer))
        for ip in PEERS[1:]:
            outside.command(["ip", "addr", "add", f"{ip}/24", "dev", "far"])
        outside.command(["ip", "route", "add", "local", SOURCES, "dev", "lo"])
        outside.command(["ip", "route", "add", "default", "via", V4.relayed])
        relay.command(["ip", "route", "add", SOURCES, "via", V4.client])
        running = _serving(where, outside, relay, words, options)
        server = relay.call(running.__enter__)
        try:
            with server.around.entered():
                _make_acquaintance()
            yield server
        finally:
            relay.call(lambda: running.__exit__(None, None, None))


def _serving(
    where: Path,
    outside: Namespace,
    relay: Namespace,
    words: tuple[str, ...],
    options: dict[str, Any],
) -> contextlib.AbstractContextManager[TurnUnderTest]:
    metrics = f"127.0.0.1:{free_port()}"

    def in_kernel() -> int:
        page = relay.call(lambda: urllib.request.urlopen(f"http://{metrics}/metrics").read())
        found = re.search(rb'packets_total\{plane="kernel"\} (\d+)', page)
        assert found is not None
        return int(found[1])

    around = Around(PEERS, (V6.peer,), SOURCES.partition("/")[0], outside, in_kernel)
    words = ("--fast-path", "xdp", *words, "--metrics", metrics)
    addresses: dict[str, Any] = {
        "ips": (V4.server, V6.server),
        "relay": (V4.relayed, V6.relayed),
        "allow": ALLOWED,
    }
    return turn_server(where, *words, program="natkit", around=around, **addresses, **options)


def _make_acquaintance() -> None:
    """Have the relay know the Ethernet addresses of all: the kernel's way asks nobody for them."""
    for side in (V4, V6):
        pairs = [(side.client, side.server), (side.peer, side.relayed)]
        pairs += [(peer, side.relayed) for peer in PEERS[1:] if side is V4]
        for source, target in pairs:
            family = socket.AF_INET6 if side.ipv6 else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.bind((source, 0))
                sock.connect((target, 9))
                sock.send(b"anybody?")
                with contextlib.suppress(ConnectionRefusedError):
                    sock.recv(1)  # the answer, that nobody listens, has to ask who we are
