"""Which announced addresses are believed, and which addresses mean something only nearby."""

from __future__ import annotations

import pytest

from natkit.nat.addresses import is_local, other_address_fault
from natkit.wire import TransportAddress

PRIMARY = TransportAddress("203.0.113.10", 3478)


@pytest.mark.parametrize(
    ("ip", "local"),
    [
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("127.0.0.1", True),
        ("169.254.1.1", True),
        ("0.0.0.0", True),
        ("203.0.113.1", False),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("::1", True),
        ("2001:db8::1", False),
    ],
)
def test_private_and_shared_addresses_are_local(ip: str, local: bool) -> None:
    assert is_local(ip) is local


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (("203.0.113.11", 3479), ""),
        (("203.0.113.10", 3479), "does not differ"),
        (("203.0.113.11", 3478), "does not differ"),
        (("10.0.0.1", 3479), "is private"),
        (("203.0.113.11", 0), "has no port"),
        (("2001:db8::1", 3479), "another IP version"),
    ],
)
def test_an_other_address_is_believed_only_if_it_can_be_one(
    other: tuple[str, int], fault: str
) -> None:
    found = other_address_fault(PRIMARY, TransportAddress(*other))
    assert fault in found
    assert bool(fault) == bool(found)


def test_a_server_in_a_private_network_may_announce_a_private_address() -> None:
    primary, other = TransportAddress("10.0.0.1", 3478), TransportAddress("10.0.0.2", 3479)
    assert other_address_fault(primary, other) == ""
