"""Where IPsec has a say in packets the kernel does not forward them past it."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.dataplane.kernel.netlink import has_ipsec_policies
from tests.dataplane.kernel.ground import V4, Ground, ground
from tests.dataplane.kernel.serving import await_line, calling, has_program, serving

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]


@pytest.fixture
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


def policy(world: Ground, direction: str, verb: str = "add") -> None:
    """Have a policy for what comes from one side and goes to the other."""
    words = ["ip", "xfrm", "policy", verb, "src", "10.9.1.0/24", "dst", "10.9.2.0/24"]
    world.relay.command([*words, "dir", direction])


@pytest.mark.parametrize("direction", ["in", "out", "fwd"])
def test_policy_for_any_direction_is_seen_while_it_is_there(world: Ground, direction: str) -> None:
    assert not world.relay.call(has_ipsec_policies)
    policy(world, direction)
    assert world.relay.call(has_ipsec_policies)
    policy(world, direction, verb="delete")
    assert not world.relay.call(has_ipsec_policies)


def test_one_policy_among_more_than_an_answer_has_room_for_is_seen(world: Ground) -> None:
    for number in range(200):
        policy_of = ["ip", "xfrm", "policy", "add", "src", f"10.1.{number}.0/24"]
        world.relay.command([*policy_of, "dst", "10.9.2.0/24", "dir", "out", "action", "allow"])
    assert world.relay.call(has_ipsec_policies)


def test_default_that_blocks_is_seen(world: Ground) -> None:
    world.relay.command(["ip", "xfrm", "policy", "setdefault", "fwd", "block"])
    assert world.relay.call(has_ipsec_policies)


def test_policy_of_one_socket_is_that_sockets_alone(world: Ground) -> None:
    """A daemon that exchanges keys has its own packets pass, and there may be no other policy."""
    sock = world.relay.call(lambda: _with_policy(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
    with sock:
        assert "socket" in world.relay.command(["ip", "xfrm", "policy"])
        assert not world.relay.call(has_ipsec_policies)


def _with_policy(sock: socket.socket) -> socket.socket:
    """Let it send without IPsec, by struct xfrm_userpolicy_info."""
    selector = bytes(40) + struct.pack("=H14x", socket.AF_INET)
    endless = struct.pack("=4Q4Q", *[2**64 - 1] * 4, 0, 0, 0, 0)
    asked = selector + endless + bytes(32) + struct.pack("=II4B4x", 0, 0, 1, 0, 0, 0)
    sock.setsockopt(socket.IPPROTO_IP, 17, asked)  # IP_XFRM_POLICY
    return sock


def test_auto_goes_without_and_says_why(world: Ground, tmp_path: Path) -> None:
    policy(world, "out")
    with (
        serving(world, tmp_path, fast_path="auto") as server,
        calling(world, server, V4) as call,
    ):
        assert call.both() == ("slow", "slow")
        assert "policies of IPsec" in await_line(server, "no fast path (why=.*)")[1]
        assert not has_program(world)


def test_what_a_policy_blocks_is_not_forwarded(world: Ground, tmp_path: Path) -> None:
    policy(world, "out")  # between others
    with (
        serving(world, tmp_path, fast_path="auto") as server,
        calling(world, server, V4) as call,
    ):
        assert call.up() == "slow"
        ends = ["src", f"{V4.relayed}/32", "dst", f"{V4.peer}/32"]
        world.relay.command(["ip", "xfrm", "policy", "add", *ends, "dir", "out", "action", "block"])
        assert call.up() == "not at all"


def test_xdp_refuses_with_the_reason_and_what_to_do(world: Ground, tmp_path: Path) -> None:
    policy(world, "fwd")
    with (
        pytest.raises(AssertionError, match="leave --fast-path out, or end what makes them"),
        serving(world, tmp_path),
    ):
        pass
    assert not has_program(world)


def test_check_of_a_configuration_says_it_too(world: Ground) -> None:
    policy(world, "in")
    words = ["-m", "natkit", "turn", "serve", "--check-config", "--user", "a:b", "--metrics", "off"]
    words += ["--listen", f"udp://{V4.server}:3478", "--relay-address", f"{V4.server}={V4.server}"]
    with pytest.raises(Exception, match="policies of IPsec"):
        world.relay.command([sys.executable, *words, "--fast-path", "xdp:client"])
