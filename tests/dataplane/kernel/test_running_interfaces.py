"""On which interfaces a server has its program, what it sets there, and what becomes of them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.aio.network import SocketNetwork
from natkit.dataplane.kernel.netlink import is_hardware, links
from natkit.tools.relay_fast_path import FastPath, FastPathMode, open_fast_path
from natkit.tools.relay_forwarding import Tags
from tests.dataplane.kernel.ground import V4, V6, Ground, ground, join
from tests.dataplane.kernel.serving import (
    await_line,
    calling,
    eventually,
    has_program,
    serving,
)

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

FAST = ("fast", "fast")
TUN = ("--listen", "udp://10.9.7.1:3478")


@pytest.fixture
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


def tags(world: Ground) -> list[str | None]:
    """Return whether the relay's interfaces take VLAN tags out of frames."""
    return [world.relay.call(Tags(name).read) for name in ("client", "peer")]


def add_tun(world: Ground) -> None:
    for words in ("tuntap add tun9 mode tun", "addr add 10.9.7.1/24 dev tun9", "link set tun9 up"):
        world.relay.command(["ip", *words.split()])


def test_auto_leaves_out_an_interface_that_is_no_ethernet_and_says_so(
    world: Ground, tmp_path: Path
) -> None:
    add_tun(world)
    with (
        serving(world, tmp_path, *TUN, fast_path="auto") as server,
        calling(world, server, V4) as call,
    ):
        assert call.both() == FAST
        said = await_line(server, 'fast path interfaces="(.*)"')[1]
        assert said == "client (generic), peer (generic), not tun9 (no Ethernet interface)"


def test_xdp_refuses_an_interface_that_is_named_and_no_ethernet(
    world: Ground, tmp_path: Path
) -> None:
    add_tun(world)
    with (
        pytest.raises(AssertionError, match="tun9 is no Ethernet interface"),
        serving(world, tmp_path, fast_path="xdp:client,tun9"),
    ):
        pass
    assert not has_program(world)


KEEPING = """
from natkit.tools.relay_forwarding import Forwarding
made = Forwarding([], ["client", "lo", "peer"])
made.keep()
print("kept", flush=True)
input()
made.close()
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_vlan_tags_stay_in_frames_until_the_server(world: Ground, how: str) -> None:
    """An interface that leaves them in anyway is not touched at the end; lo tells nothing."""
    world.relay.call(lambda: Tags("peer").write("0"))
    assert tags(world) == ["1", "0"]
    with started(world, KEEPING) as server:
        assert tags(world) == ["0", "0"]
        server.kill() if how == "is killed" else server.communicate(b"\n")
    assert eventually(lambda: tags(world) == ["1", "0"])


@contextlib.contextmanager
def started(world: Ground, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on the relay from when it says that it has kept something."""
    words = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with world.relay.call(lambda: subprocess.Popen(words, stdin=pipe, stdout=pipe)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        yield process


def test_server_has_no_keeper_for_tags_that_software_would_hand_over_anyway(
    world: Ground, tmp_path: Path
) -> None:
    with serving(world, tmp_path, fast_path="auto") as server:
        assert tags(world) == ["1", "1"]
        assert server.pids == [server.process.pid]


def test_card_is_told_to_leave_tags_in_while_the_program_is_attached(
    world: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A veth in place of the card: it can be told as well."""
    monkeypatch.setattr("natkit.dataplane.kernel.netlink.is_hardware", lambda _: True)
    wanted = FastPath(FastPathMode.XDP, ("client",))
    chosen = world.relay.call(lambda: open_fast_path(SocketNetwork(), wanted, []))
    assert chosen.table is not None
    try:
        assert tags(world) == ["0", "1"]
    finally:
        chosen.table.close()
        world.relay.call(chosen.put_back)
    assert tags(world) == ["1", "1"]


def test_hardware_is_told_from_software(world: Ground) -> None:
    """The loopback interface is made by no driver that has a name."""
    numbers = [world.relay.call(lambda n=name: socket.if_nametoindex(n)) for name in ("lo", "peer")]
    found = [world.relay.call(lambda n=number: is_hardware(n)) for number in (*numbers, 999)]
    assert found == [True, False, False]


def test_other_end_of_a_link_is_found_in_its_namespace(world: Ground) -> None:
    world.client.command(["ip", "link", "add", "br0", "type", "bridge"])
    world.client.command(["ip", "link", "set", "dev", "link", "master", "br0"])
    index = world.relay.call(lambda: socket.if_nametoindex("client"))
    near = world.relay.call(links)[index]
    assert (near.kind, near.elsewhere is None) == ("veth", False)
    there = world.relay.call(lambda: links(near.elsewhere))
    assert there[near.below].kind == "veth"
    bridge = there[there[near.below].master]
    assert (bridge.kind, bridge.filters) == ("bridge", False)


def test_interface_that_is_made_anew_is_named_in_the_log(world: Ground, tmp_path: Path) -> None:
    with serving(world, tmp_path, module="tests.dataplane.kernel.hasty") as server:
        await_line(server, "fast path interfaces=")
        world.relay.command(["ip", "link", "del", "client"])
        pair = (V4.server, V6.server), (V4.client, V6.client)
        join(world.relay, "client", world.client, "link", *pair)
        assert "interface=client" in await_line(server, "warning fast path lost (.*)")[1]
        with calling(world, server, V4) as call:
            # To the client as well: nobody has asked whether this one completes checksums.
            assert call.both() == ("slow", "slow")
        assert server.log.read_text().count("fast path lost") == 1
