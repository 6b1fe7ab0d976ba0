"""Allocate: RFC 8656 §7.2, item by item."""

from __future__ import annotations

from natkit.turn.forwarding import AllocationMade, Relaying
from natkit.wire import Method, XorMappedAddress, XorRelayedAddress
from tests.turn.desk import OVER_UDP, UDP, Desk, code, seconds


def test_success_tells_relayed_and_mapped_address_and_lifetime() -> None:
    desk = Desk()
    answer = desk.ask(Method.ALLOCATE, OVER_UDP)
    relayed, mapped = answer.find(XorRelayedAddress), answer.find(XorMappedAddress)
    assert code(answer) is None
    assert relayed is not None
    assert relayed.address in desk.open
    assert mapped is not None
    assert mapped.address == UDP.client
    assert seconds(answer) == 600
    assert desk.pop(AllocationMade) == [
        AllocationMade(UDP, relayed.address, Relaying.UDP, "alice", 600)
    ]
