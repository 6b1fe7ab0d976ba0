"""A mapping on a gateway, from the first question to its deletion."""

from __future__ import annotations

import pytest

from natkit.portmap import pcp
from natkit.portmap.lease import LIFETIME, Deleted, Granted, Lease, LeaseEvent, Lost, NotGranted
from natkit.wire import TransportAddress
from natkit.wire.cursor import Cursor

GATEWAY = TransportAddress("10.0.1.1", pcp.PORT)
OUTSIDE = TransportAddress("203.0.113.7", 41000)
PORT = 5000


class Router:
    """Answers what a lease asks, in PCP or NAT-PMP, on a clock of its own.

    Attributes: speaks: "pcp", "natpmp" or nothing; external: what it maps to; asked: lifetimes.
    """

    def __init__(self, speaks: str | None = "pcp", result: int = 0) -> None:
        self.speaks, self.result, self.external = speaks, result, OUTSIDE
        self.asked: list[int] = []
        self.now = 0.0
        self.lease = Lease(GATEWAY.ip, "10.0.1.2", PORT, patience=0.4, randomness=bytes)
        self.events: list[LeaseEvent] = []
        self.lease.begin(now=0.0)
        self.settle()

    def settle(self) -> None:
        while sent := self.lease.transmits():
            for data, _, _ in sent:
                if (answer := self.answer(data)) is not None:
                    self.lease.receive(answer, GATEWAY, now=self.now)
            self.events += self.lease.events()
        self.events += self.lease.events()

    def run(self, until: float) -> None:
        while (at := self.lease.deadline()) is not None and at <= until:
            self.now = at
            self.lease.tick(now=at)
            self.settle()
        self.now = until

    def answer(self, data: bytes) -> bytes | None:
        if self.speaks is None:
            return None
        if data[0] == pcp.VERSION:
            return self.answer_pcp(data) if self.speaks == "pcp" else bytes([0, 129, 0, 1])
        if data[1] == 0:
            return bytes([0, 128, 0, self.result]) + bytes(4) + bytes([203, 0, 113, 7])
        self.asked.append(int.from_bytes(data[8:12], "big"))
        head = bytes([0, 128 + data[1], 0, self.result]) + bytes(4) + data[4:6]
        return head + self.external.port.to_bytes(2, "big") + data[8:12]

    def answer_pcp(self, data: bytes) -> bytes:
        self.asked.append(int.from_bytes(data[4:8], "big"))
        asked = pcp.Mapping.read(Cursor(data[24:], "test"))
        given = pcp.Mapping(asked.nonce, asked.protocol, asked.internal_port, self.external)
        return bytes([2, 129, 0, self.result]) + data[4:8] + bytes(16) + given.encode()


@pytest.mark.parametrize(("speaks", "name"), [("pcp", "PCP"), ("natpmp", "NAT-PMP")])
def test_mapping_is_made_in_the_protocol_that_the_gateway_speaks(speaks: str, name: str) -> None:
    assert Router(speaks).events == [Granted(OUTSIDE, name)]


@pytest.mark.parametrize("speaks", ["pcp", "natpmp"])
def test_mapping_is_renewed_at_half_its_lifetime_and_told_once(speaks: str) -> None:
    router = Router(speaks)
    router.run(LIFETIME / 2 - 0.1)
    assert router.asked == [LIFETIME]
    router.run(LIFETIME * 2 + 0.1)
    assert router.asked == [LIFETIME] * 5
    assert router.events == [Granted(OUTSIDE, "PCP" if speaks == "pcp" else "NAT-PMP")]


@pytest.mark.parametrize("speaks", ["pcp", "natpmp"])
def test_mapping_is_deleted(speaks: str) -> None:
    router = Router(speaks)
    router.lease.delete(now=1.0)
    router.settle()
    assert router.asked == [LIFETIME, 0]
    assert router.events[-1] == Deleted(confirmed=True)
    assert router.lease.deadline() is None


def test_gateway_that_says_nothing_is_asked_in_both_and_given_up() -> None:
    router = Router(None)
    router.run(0.9)
    assert router.events == [NotGranted("NAT-PMP was not answered")]


@pytest.mark.parametrize(
    ("speaks", "words"),
    [("pcp", "PCP answered NOT_AUTHORIZED"), ("natpmp", "NAT-PMP answered NOT_AUTHORIZED")],
)
def test_refusal_is_told_in_words_and_leaves_nothing_to_delete(speaks: str, words: str) -> None:
    router = Router(speaks, result=2)
    assert router.events == [NotGranted(words)]
    asked = len(router.asked)
    router.lease.delete(now=1.0)
    router.settle()
    assert router.events[-1] == Deleted(confirmed=True)
    assert len(router.asked) == asked


def test_what_may_have_been_made_without_an_answer_is_deleted() -> None:
    router = Router(None)
    router.run(1.0)
    router.speaks = "natpmp"
    router.lease.delete(now=1.0)
    router.settle()
    assert router.asked == [0]
    assert router.events[-1] == Deleted(confirmed=True)


def test_deletion_without_an_answer_ends_all_the_same() -> None:
    router = Router()
    router.speaks = None
    router.lease.delete(now=1.0)
    router.run(3.0)
    assert router.events[-1] == Deleted(confirmed=False)


def test_gateway_that_falls_silent_is_asked_again_until_the_mapping_is_over() -> None:
    router = Router()
    router.speaks = None
    router.run(LIFETIME - 60.0)
    assert router.events == [Granted(OUTSIDE, "PCP")]
    router.run(LIFETIME + 60.0)
    assert router.events[1:] == [Lost("PCP was not answered")]


def test_another_outside_address_at_the_renewal_is_a_loss() -> None:
    router = Router()
    router.external = OUTSIDE._replace(port=42000)
    router.run(LIFETIME)
    (lost,) = router.events[1:]
    assert isinstance(lost, Lost)
    assert "42000" in lost.why
