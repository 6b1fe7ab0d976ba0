"""Whom gathering asks, what it tells of the answers, and for whom it waits."""

from __future__ import annotations

import random

import pytest

from natkit.ice.candidate import CandidateType, Local
from natkit.ice.gather import CandidateFound, Gatherer, GatheringEnded, InquiryEnded
from natkit.ice.inquiry import Inquiry, Kind
from natkit.network import IcmpError
from natkit.wire import Message, TransportAddress, XorMappedAddress
from tests.ice.duo import A6, A_RELAY, A, local

STUN, STUN2 = TransportAddress("192.0.2.80", 3478), TransportAddress("192.0.2.81", 3478)
STUN6 = TransportAddress("2001:db8::80", 3478)
MAPPED = TransportAddress("203.0.113.9", 7000)


class Desk:
    """A gatherer, and the answers of its servers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gatherer = Gatherer(random.Random(1).randbytes)
        self.events: list[object] = []
        self.asked: list[tuple[Message, TransportAddress, TransportAddress]] = []

    def ask(self, server: TransportAddress, host: Local, *, on_route: bool = True) -> Inquiry:
        inquiry = self.gatherer.begin(Kind.REFLEXIVE, str(server), host.base, "eth0", now=self.now)
        inquiry.on_route = on_route
        self.gatherer.ask(inquiry, host, server, now=self.now)
        self.settle()
        return inquiry

    def settle(self) -> None:
        for data, destination, base, _ in self.gatherer.transmits():
            self.asked.append((Message.decode(data), destination, base))
        self.events += self.gatherer.events()

    def complete(self) -> None:
        self.gatherer.complete(now=self.now)
        self.settle()

    def answer(self, server: TransportAddress, mapped: TransportAddress, *, at: float) -> None:
        """Answer what was asked of `server` first, at an instant."""
        self.wait(at)
        request, _, base = next(asked for asked in self.asked if asked[1] == server)
        answer = request.success(XorMappedAddress(mapped)).encode()
        self.gatherer.receive(answer, server, at=base, now=self.now)
        self.settle()

    def wait(self, until: float) -> None:
        while (at := self.gatherer.deadline()) is not None and at <= until:
            self.now = max(at, self.now)
            self.gatherer.tick(now=self.now)
            self.settle()
            if self.ended:
                break
        self.now = max(until, self.now)

    @property
    def ended(self) -> bool:
        return any(isinstance(event, GatheringEnded) for event in self.events)

    @property
    def found(self) -> list[Local]:
        return [event.local for event in self.events if isinstance(event, CandidateFound)]


def test_reflexive_candidate_has_its_base_for_relation_and_its_server_in_its_history():
    desk = Desk()
    inquiry = desk.ask(STUN, local(A))
    desk.answer(STUN, MAPPED, at=0.02)
    (found,) = desk.found
    assert found.candidate.type == CandidateType.SERVER_REFLEXIVE
    assert found.candidate.address == MAPPED
    assert (found.candidate.related_address, found.candidate.related_port) == A
    assert found.base == A
    assert (found.origin.server, found.origin.interface) == (str(STUN), "eth0")
    assert found.origin.round_trip == pytest.approx(0.02)
    assert inquiry.found is found


def test_second_server_that_sees_the_same_gives_no_second_candidate():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.ask(STUN2, local(A))
    desk.answer(STUN, MAPPED, at=0.02)
    desk.answer(STUN2, MAPPED, at=0.03)
    assert len(desk.found) == 1
    assert len([e for e in desk.events if isinstance(e, InquiryEnded)]) == 2


def test_symmetric_nat_gives_a_candidate_for_each_server():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.ask(STUN2, local(A))
    desk.answer(STUN, MAPPED, at=0.02)
    desk.answer(STUN2, MAPPED._replace(port=7001), at=0.03)
    assert [found.candidate.port for found in desk.found] == [7000, 7001]


def test_without_a_nat_there_is_nothing_to_add():
    desk = Desk()
    host = local(A)
    desk.gatherer.host(host)
    inquiry = desk.ask(STUN, host)
    desk.answer(STUN, A, at=0.02)
    assert desk.found == [host]
    assert inquiry.error is None


@pytest.mark.parametrize(
    ("base", "on_route"),
    [(A, True), (A._replace(ip="192.0.2.7"), False)],
    ids=["server", "interface"],
)
def test_dead_server_or_interface_off_the_route_costs_nothing(
    base: TransportAddress, on_route: bool
):
    desk = Desk()
    dead = desk.ask(STUN2, local(base), on_route=on_route)
    desk.ask(STUN, local(A))
    desk.complete()
    desk.answer(STUN, MAPPED, at=0.02)
    assert desk.ended
    assert dead.error == "no answer by the time that others had given theirs"


def test_interface_beside_the_route_is_heard_where_that_one_is_silent():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.ask(STUN2, local(A._replace(ip="192.0.2.7")), on_route=False)
    desk.complete()
    desk.wait(1.0)
    assert not desk.ended
    desk.answer(STUN2, MAPPED, at=1.1)
    assert len(desk.found) == 1


def test_silent_interface_that_leads_to_the_server_has_as_much_time_again():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.ask(STUN2, local(A._replace(ip="192.0.2.7")))
    desk.complete()
    desk.answer(STUN, MAPPED, at=0.1)
    desk.wait(0.199)
    assert not desk.ended
    desk.wait(0.2)
    assert desk.ended


def test_ipv6_is_not_waited_for_when_ipv4_has_answered():
    desk = Desk()
    desk.ask(STUN6, local(A6))
    desk.ask(STUN, local(A))
    desk.complete()
    desk.answer(STUN, MAPPED, at=0.1)
    desk.wait(0.2)
    assert desk.ended


def test_ipv4_is_waited_for_when_ipv6_has_answered():
    desk = Desk()
    desk.ask(STUN6, local(A6))
    desk.ask(STUN, local(A))
    desk.complete()
    desk.answer(STUN6, A6._replace(port=1), at=0.1)
    desk.wait(1.9)
    assert not desk.ended
    desk.wait(2.0)
    assert desk.ended


def test_servers_that_are_all_dead_are_given_up_after_two_seconds():
    desk = Desk()
    inquiry = desk.ask(STUN, local(A))
    desk.complete()
    desk.wait(1.99)
    assert not desk.ended
    desk.wait(2.0)
    assert desk.ended
    assert inquiry.error == "no answer to 3 requests"
    assert inquiry.took == pytest.approx(2.0)


@pytest.mark.parametrize("answered", [False, True], ids=["silence over UDP", "answer over UDP"])
def test_relay_over_tcp_is_waited_for_where_it_is_the_only_way_out(answered: bool):
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.gatherer.begin(Kind.RELAYED, "turn over tcp", in_stream=True, now=0.0)
    desk.complete()
    if answered:
        desk.answer(STUN, MAPPED, at=0.1)
    ends = 2.0 if answered else 10.0
    desk.wait(ends - 0.001)
    assert not desk.ended
    desk.wait(ends)
    assert desk.ended


def test_thorough_gathering_waits_for_all():
    desk = Desk()
    desk.gatherer.thorough = True
    desk.ask(STUN2, local(A))
    desk.ask(STUN, local(A))
    desk.complete()
    desk.answer(STUN, MAPPED, at=0.02)
    assert not desk.ended
    desk.wait(2.0)
    assert desk.ended


def test_without_servers_it_ends_at_once():
    desk = Desk()
    desk.complete()
    assert desk.ended


def test_it_does_not_end_before_all_have_been_asked():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.answer(STUN, MAPPED, at=0.02)
    desk.wait(10.0)
    assert not desk.ended


def test_refusal_and_icmp_are_told_in_words():
    desk = Desk()
    refused, unreachable = desk.ask(STUN, local(A)), desk.ask(STUN2, local(A))
    request = desk.asked[0][0]
    desk.gatherer.receive(request.error(420, "Unknown").encode(), STUN, at=A, now=0.1)
    desk.gatherer.error_received(IcmpError(3, 3, STUN2, None), at=A, now=0.1)
    assert refused.error == "error 420 Unknown"
    assert unreachable.error == "ICMP type 3 code 3: nobody listens there"


def test_relayed_candidate_relates_to_the_mapped_address_unless_it_is_hidden():
    desk = Desk()
    made = []
    for hide in (False, True):
        inquiry = desk.gatherer.begin(Kind.RELAYED, "turn", now=0.0)
        made.append(
            desk.gatherer.relayed(
                inquiry,
                A_RELAY,
                MAPPED,
                server=STUN,
                transport="udp",
                preference=65535,
                hide_mapped=hide,
                now=0.1,
            ).candidate
        )
    assert [(c.related_address, c.related_port) for c in made] == [MAPPED, ("0.0.0.0", 9)]


def test_mapping_is_kept_alive_until_a_pair_is_chosen():
    desk = Desk()
    desk.ask(STUN, local(A))
    desk.complete()
    desk.answer(STUN, MAPPED, at=0.02)
    desk.events.clear()
    desk.wait(31)
    assert len(desk.asked) == 3
    desk.gatherer.release()
    desk.wait(100)
    assert len(desk.asked) == 3
