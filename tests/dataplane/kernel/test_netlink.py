"""What Linux says of policies of IPsec, and of VLAN tags that are beside frames and not in them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from struct import pack

import pytest

from natkit.aio.network import SocketNetwork
from natkit.dataplane.kernel import netlink
from natkit.dataplane.kernel.netlink import Link, goes_by_tags, has_hidden_tags
from natkit.network import Interface
from natkit.tools.relay_interfaces import with_addresses

BRIDGE, FILTERING = Link("bridge"), Link("bridge", filters=True)


@pytest.mark.parametrize(
    ("among", "by_tags"),
    [
        ({}, False),
        ({2: Link()}, False),
        ({2: Link(), 3: Link("vlan", below=2)}, True),
        ({2: Link(), 3: Link("vlan", below=4)}, False),
        ({2: Link(), 3: Link("vlan", below=2, elsewhere=0)}, False),  # the 2 of somewhere else
        ({2: Link(), 3: Link("macvlan", below=2)}, False),
        ({2: Link("veth", master=3), 3: BRIDGE}, False),
        ({2: Link("veth", master=3), 3: FILTERING}, True),
        ({2: FILTERING}, True),
    ],
)
def test_what_goes_by_tags(among: Mapping[int, Link], by_tags: bool) -> None:
    assert goes_by_tags(2, among) is by_tags


HOST = {7: Link("veth", below=2, elsewhere=0, master=8), 8: FILTERING, 9: Link("veth", below=5)}


@pytest.mark.parametrize(
    ("one", "hidden"),
    [
        (Link(), False),  # with a VLAN on it, but hardware leaves tags in
        (Link("macvlan", below=9), True),
        (Link("veth", below=9, elsewhere=4), True),
        (Link("veth", below=7, elsewhere=4), True),
    ],
)
def test_tags_are_hidden_by_software_alone(
    monkeypatch: pytest.MonkeyPatch, one: Link, hidden: bool
) -> None:
    here = {2: one, 3: Link("vlan", below=2)}
    monkeypatch.setattr(netlink, "links", lambda there=None: here if there is None else HOST)
    assert has_hidden_tags(2) is hidden


@pytest.mark.parametrize(("end", "hidden"), [(7, True), (9, False)])
def test_other_end_of_a_veth_is_asked_about_its_bridge(
    monkeypatch: pytest.MonkeyPatch, end: int, hidden: bool
) -> None:
    here = {2: Link("veth", below=end, elsewhere=4)}
    monkeypatch.setattr(netlink, "links", lambda there=None: here if there is None else HOST)
    assert has_hidden_tags(2) is hidden
    here = {2: Link("veth", below=end)} | {n: one for n, one in HOST.items() if n != 2}
    assert has_hidden_tags(2) is hidden


@pytest.mark.parametrize("code", [errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT])
def test_kernel_without_ipsec_has_no_policies(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(netlink, "_asked", refusing(code))
    assert not netlink.has_ipsec_policies()


def test_process_that_may_not_know_of_policies_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_asked", refusing(errno.EPERM))
    with pytest.raises(PermissionError):
        netlink.has_ipsec_policies()


def refusing(code: int) -> Callable[..., list[bytes]]:
    def refuse(*_: object) -> list[bytes]:
        raise OSError(code, os.strerror(code))

    return refuse


def attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_answer_of_a_kernel_with_vlans_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux words it (linux/if_link.h); nested attributes have the highest bit of their type."""
    kind = attribute(1, b"vlan\0")
    vlan = attribute(5, pack("=i", 2)) + attribute(37, pack("=i", 0)) + attribute(18, kind)
    data = attribute(6, pack("=H", 1)) + attribute(7, b"\1")
    info = attribute(1, b"bridge\0") + attribute(0x8002, data)
    answers = [
        pack("=BxHiII", 0, 1, number, 0, 0) + told
        for number, told in ((5, vlan), (6, attribute(0x8012, info)), (7, b""))
    ]
    monkeypatch.setattr(netlink, "_asked", lambda *_: answers)
    assert netlink.links() == {5: Link("vlan", below=2, elsewhere=0), 6: FILTERING, 7: Link()}


def test_interface_with_hidden_tags_is_left_out_where_nobody_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = Interface("eth0", "10.0.0.1", 24), Interface("eth1", "10.0.1.1", 24)
    monkeypatch.setattr(SocketNetwork, "interfaces", lambda _: ours)
    monkeypatch.setattr("socket.if_nametoindex", {"eth0": 2, "eth1": 4}.__getitem__)
    monkeypatch.setattr("natkit.dataplane.kernel.syscalls.hardware_address", lambda _: bytes(6))
    here = {2: Link("bond"), 3: Link("vlan", below=2), 4: Link("bond")}
    monkeypatch.setattr(netlink, "links", lambda: here)
    choice = with_addresses(SocketNetwork(), ["10.0.0.1", "10.0.1.1"])
    assert [one.name for one in choice.interfaces] == ["eth1"]
    assert choice.without == ("eth0 (its VLAN tags are not to be seen)",)
