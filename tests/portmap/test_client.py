"""Asking a gateway: when again, whose answer counts, when to stop."""

from __future__ import annotations

import pytest

from natkit.network import IcmpError
from natkit.portmap.client import (
    SPREAD,
    Answered,
    Backoff,
    GatewayClient,
    Refused,
    Unanswered,
)
from natkit.portmap.natpmp import AskExternalAddress, ExternalAddress
from natkit.portmap.pcp import VersionRefused
from natkit.wire import TransportAddress

GATEWAY = TransportAddress("192.168.1.1", 5351)
GROUP = TransportAddress("239.255.255.250", 1900)
ANSWER = bytes.fromhex("00800000 00000007 2c000007")
REPLY = ExternalAddress(0, 7, "44.0.0.7")
CLOSED = IcmpError(3, 3, GATEWAY, GATEWAY.ip)

Client = GatewayClient[ExternalAddress | VersionRefused]


def middle(size: int) -> bytes:
    """Random bytes that make every wait exactly as long as planned, to a billionth."""
    return b"\x7f" + b"\xff" * (size - 1)


def asking(*also: TransportAddress) -> Client:
    backoff = Backoff(first=0.25, tries=3, last=0.25)
    client: Client = GatewayClient(GATEWAY, also=also, backoff=backoff, randomness=middle)
    client.ask(AskExternalAddress(), now=100.0)
    return client


def sends_of(client: Client, until: float = 200.0) -> list[float]:
    """Return the instants at which it sends, driven by its own deadlines alone."""
    instants = [100.0] * len(client.transmits())
    while (at := client.deadline()) is not None and at <= until:
        client.tick(now=at)
        instants += [at] * len(client.transmits())
    return instants


def test_it_asks_three_times_with_doubling_waits_and_gives_up() -> None:
    client = asking()
    assert sends_of(client) == pytest.approx([100.0, 100.25, 100.75])
    (outcome,) = client.events()
    assert isinstance(outcome, Unanswered)
    assert (outcome.tries, outcome.garbage) == (3, None)
    assert outcome.waited == pytest.approx(1.0)


def test_a_budget_holds_three_tries() -> None:
    client: Client = GatewayClient(GATEWAY, backoff=Backoff.within(2.0), randomness=middle)
    client.ask(AskExternalAddress(), now=100.0)
    assert sends_of(client) == pytest.approx([100.0, 100.5, 101.5])
    (outcome,) = client.events()
    assert isinstance(outcome, Unanswered)
    assert outcome.waited == pytest.approx(2.0)


@pytest.mark.parametrize(("byte", "factor"), [(b"\0", 1 - SPREAD), (b"\xff", 1 + SPREAD)])
def test_waits_spread_by_a_tenth_each_way(byte: bytes, factor: float) -> None:
    backoff = Backoff(first=1.0, tries=3, last=5.0)
    assert backoff.wait(1, lambda size: byte * size) == pytest.approx(factor)
    assert backoff.wait(2, lambda size: byte * size) == pytest.approx(2 * factor)
    assert backoff.wait(3, lambda size: byte * size) == 5.0


def test_an_answer_ends_it() -> None:
    client = asking()
    client.tick(now=100.25)
    client.receive(ANSWER, GATEWAY, now=100.5)
    assert client.events() == [Answered(REPLY, 2, 0.5)]
    assert client.deadline() is None


def test_a_second_answer_changes_nothing() -> None:
    client = asking()
    client.receive(ANSWER, GATEWAY, now=100.1)
    client.receive(ANSWER, GATEWAY, now=100.2)
    assert len(client.events()) == 1


def test_an_answer_from_another_address_or_port_does_not_count() -> None:
    client = asking()
    client.receive(ANSWER, TransportAddress("192.168.1.66", 5351), now=100.1)
    client.receive(ANSWER, TransportAddress("192.168.1.1", 5352), now=100.1)
    assert client.events() == []


def test_where_a_group_is_asked_too_the_server_may_answer_from_any_port() -> None:
    client = asking(GROUP)
    assert [t.destination for t in client.transmits()] == [GATEWAY, GROUP]
    client.receive(ANSWER, TransportAddress("192.168.1.66", 1900), now=100.1)
    assert client.events() == []
    client.receive(ANSWER, TransportAddress("192.168.1.1", 40001), now=100.125)
    assert client.events() == [Answered(REPLY, 1, 0.125)]


def test_a_reply_to_something_else_is_passed_over() -> None:
    client = asking()
    client.receive(bytes.fromhex("00810000") + bytes(12), GATEWAY, now=100.1)
    assert client.events() == []


def test_garbage_does_not_end_it_and_is_remembered() -> None:
    client = asking()
    client.receive(b"hello", GATEWAY, now=100.1)
    sends_of(client)
    (outcome,) = client.events()
    assert isinstance(outcome, Unanswered)
    assert "malformed" in (outcome.garbage or "")


def test_port_unreachable_ends_it() -> None:
    client = asking()
    client.error_received(CLOSED)
    assert client.events() == [Refused(1)]
    assert client.deadline() is None


def test_port_unreachable_says_nothing_about_a_group() -> None:
    client = asking(GROUP)
    client.error_received(CLOSED)
    assert client.events() == []


@pytest.mark.parametrize("reporter", ["192.168.1.2", None], ids=["this host", "somebody"])
def test_port_unreachable_from_elsewhere_is_no_answer(reporter: str | None) -> None:
    """A firewall on this host that rejects what goes out says nothing about the gateway."""
    client = asking()
    client.error_received(IcmpError(3, 3, GATEWAY, reporter))
    assert client.events() == []


def test_another_icmp_error_does_not_end_it() -> None:
    client = asking()
    client.error_received(IcmpError(3, 1, GATEWAY, "192.168.1.1"))
    assert client.events() == []


def test_a_late_tick_does_not_drift() -> None:
    client = asking()
    client.tick(now=100.4)
    assert client.deadline() == pytest.approx(100.75)


def test_nothing_moves_before_a_question_and_after_its_end() -> None:
    client: Client = GatewayClient(GATEWAY, backoff=Backoff.within(1.0), randomness=middle)
    client.receive(ANSWER, GATEWAY, now=1.0)
    client.error_received(CLOSED)
    client.tick(now=2.0)
    assert (client.transmits(), client.events(), client.deadline()) == ([], [], None)


def test_one_question_follows_another() -> None:
    client = asking()
    client.receive(ANSWER, GATEWAY, now=100.1)
    client.ask(AskExternalAddress(), now=101.0)
    client.receive(ANSWER, GATEWAY, now=101.1)
    assert [event.rtt for event in client.events() if isinstance(event, Answered)] == (
        pytest.approx([0.1, 0.1])
    )
