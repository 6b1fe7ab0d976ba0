"""What Allocate and Refresh give, keep and refuse (RFC 8656 §7 and §8)."""

from __future__ import annotations

from pathlib import Path

import ifaddr
import pytest

from natkit.wire import (
    AdditionalAddressFamily,
    AddressErrorCode,
    DontFragment,
    ErrorCode,
    EvenPort,
    Lifetime,
    Message,
    MessageClass,
    Method,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    UnknownAttributes,
    XorMappedAddress,
    XorRelayedAddress,
)
from tests.turnkit import TCP, UDP, AnyAttribute, Peer, RawClient, error_of, transaction_id
from tests.turnserver import Around, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

IPV4, IPV6 = RequestedAddressFamily(1), RequestedAddressFamily(2)
BOTH = AdditionalAddressFamily(2)
TOKEN = ReservationToken(b"no token")


# -- 17 to 19: what is refused ---------------------------------------------------------------------


def test_without_requested_transport_it_is_400(client: RawClient) -> None:
    assert client.log_in().code(Method.ALLOCATE) == 400


@pytest.mark.parametrize("protocol", [0, 1, 132, 255])
def test_another_transport_than_udp_and_tcp_is_442(client: RawClient, protocol: int) -> None:
    assert client.log_in().code(Method.ALLOCATE, RequestedTransport(protocol)) == 442


def test_a_tcp_relay_asked_for_over_udp_is_refused(turn: TurnUnderTest) -> None:
    """RFC 6062 §5.1: 400; a server without TCP relaying says 442."""
    with RawClient(turn) as client:
        assert client.log_in().code(Method.ALLOCATE, TCP) in (400, 442)


@pytest.mark.parametrize(
    "together",
    [
        (EvenPort(True), TOKEN),
        (EvenPort(False), TOKEN),
        (IPV4, TOKEN),
        (BOTH, IPV4),
        (BOTH, TOKEN),
        (BOTH, EvenPort(True)),
        (AdditionalAddressFamily(1),),
    ],
    ids=lambda together: "+".join(type(part).__name__ for part in together),
)
def test_what_does_not_go_together_is_400(
    client: RawClient, together: tuple[AnyAttribute, ...]
) -> None:
    assert client.log_in().code(Method.ALLOCATE, UDP, *together) == 400


def test_a_token_that_nobody_gave_is_508(client: RawClient) -> None:
    assert client.log_in().code(Method.ALLOCATE, UDP, TOKEN) == 508


def test_an_unknown_address_family_is_440(client: RawClient) -> None:
    assert client.log_in().code(Method.ALLOCATE, UDP, RequestedAddressFamily(3)) == 440


def test_a_refused_allocation_leaves_nothing_behind(client: RawClient) -> None:
    client.log_in()
    assert client.code(Method.ALLOCATE, UDP, TOKEN) == 508
    assert client.code(Method.REFRESH) == 437
    assert client.code(Method.ALLOCATE, UDP) is None


# -- 20 to 22: what is given -----------------------------------------------------------------------


def test_success_tells_relayed_and_mapped_address_and_lifetime(client: RawClient) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP)
    relayed = answer.find(XorRelayedAddress)
    assert relayed is not None
    assert relayed.address.ip == client.server.relay[0]
    assert answer.find(XorMappedAddress) == XorMappedAddress(client.local)
    assert answer.find(Lifetime) == Lifetime(600)


def test_a_second_allocation_on_a_5_tuple_is_437(client: RawClient) -> None:
    client.allocate()
    assert client.code(Method.ALLOCATE, UDP) == 437


def test_a_repeated_request_gets_the_same_relayed_address(client: RawClient) -> None:
    asked = client.log_in().signed(Method.ALLOCATE, UDP)
    first, again = client.exchange(asked), client.exchange(asked)
    assert first.message_class is again.message_class is MessageClass.SUCCESS
    assert first.find(XorRelayedAddress) == again.find(XorRelayedAddress)


@pytest.mark.parametrize(
    ("requested", "granted"), [(0, 600), (1, 600), (599, 600), (700, 700), (2**32 - 1, 3600)]
)
def test_the_lifetime_is_clamped(client: RawClient, requested: int, granted: int) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, Lifetime(requested))
    assert answer.find(Lifetime) == Lifetime(granted)


# -- 23, 24: ports and families --------------------------------------------------------------------


def test_even_port_gives_an_even_port_and_no_token(client: RawClient) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, EvenPort(False))
    relayed = answer.find(XorRelayedAddress)
    assert relayed is not None
    assert relayed.address.port % 2 == 0
    assert answer.find(ReservationToken) is None


def test_a_reserved_port_is_the_next_one_and_goes_to_the_token(
    turn: TurnUnderTest, client: RawClient
) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, EvenPort(True))
    first, token = answer.find(XorRelayedAddress), answer.find(ReservationToken)
    assert first is not None
    assert token is not None
    assert first.address.port % 2 == 0
    with RawClient(turn, client.transport) as second:
        assert second.allocate(token).port == first.address.port + 1
    with RawClient(turn, client.transport) as third:
        assert third.log_in().code(Method.ALLOCATE, UDP, token) == 508


@pytest.mark.needs("ipv6")
def test_an_ipv6_relay_is_given_when_asked_for(client: RawClient) -> None:
    assert client.allocate(IPV6).ip == client.server.relay[1]


@pytest.mark.needs("ipv6")
def test_an_ipv6_client_gets_an_ipv4_relay_unless_it_asks(turn: TurnUnderTest) -> None:
    with RawClient(turn, ip=turn.ips[1]) as client:
        assert client.allocate().ip == turn.relay[0]


@pytest.mark.needs("ipv6")
def test_an_additional_family_gives_both(client: RawClient) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, BOTH)
    relayed = {found.address.ip for found in answer.find_all(XorRelayedAddress)}
    assert relayed == set(client.server.relay)
    assert answer.find(AddressErrorCode) is None


# -- 25, 26 ----------------------------------------------------------------------------------------


def test_dont_fragment_is_granted_or_named_in_a_420(client: RawClient) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, DontFragment())
    if answer.find(ErrorCode) is not None:
        assert error_of(answer) == 420
        assert answer.find(UnknownAttributes) == UnknownAttributes((DontFragment.TYPE,))


# -- 27: the 5-tuple -------------------------------------------------------------------------------


def test_two_ports_of_a_client_have_two_allocations(turn: TurnUnderTest) -> None:
    with RawClient(turn) as one, RawClient(turn) as two:
        assert one.allocate() != two.allocate()


def test_udp_and_tcp_from_the_same_address_are_two_5_tuples(turn: TurnUnderTest) -> None:
    source = turn.around.source(0x99999)
    with RawClient(turn, "udp", source=source) as one, RawClient(turn, "tcp", source=source) as two:
        assert one.allocate() != two.allocate()


def test_closing_the_connection_deletes_the_allocation(turn: TurnUnderTest, peer: Peer) -> None:
    with RawClient(turn, "tcp") as client:
        relayed = client.allocate()
    assert peer.await_nobody(relayed)


def test_after_a_deletion_the_5_tuple_starts_anew(
    client: RawClient, peer: Peer, around: Around
) -> None:
    client.allocate()
    client.permit(peer.address)
    assert client.call(Method.REFRESH, Lifetime(0)).find(Lifetime) == Lifetime(0)
    relayed = client.allocate()
    with Peer(around.peers[2]) as friend:
        client.permit(friend.address)
        peer.send(b"not any more", relayed)
        friend.send(b"permitted", relayed)
        assert b"permitted" in client.receive()


# -- 28: answers come from where they were asked ---------------------------------------------------


def test_each_address_answers_for_itself(turn: TurnUnderTest) -> None:
    """The client's socket is connected, so an answer from elsewhere would never arrive."""
    for ip in turn.ips:
        with RawClient(turn, ip=ip) as client:
            assert client.bare(Method.BINDING).find(XorMappedAddress) is not None


def test_a_wildcard_listener_answers_from_the_address_it_was_asked_on(tmp_path: Path) -> None:
    with turn_server(tmp_path, ips=("0.0.0.0",), relay=("127.0.0.1",)) as server:
        own = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
        for ip in map(str, own):
            for transport in ("udp", "tcp"):
                with RawClient(server, transport, ip=ip, source=ip) as client:
                    assert client.allocate().ip == "127.0.0.1"


# -- 29: Refresh -----------------------------------------------------------------------------------


def test_refresh_grants_a_lifetime(client: RawClient) -> None:
    client.allocate()
    assert client.call(Method.REFRESH).find(Lifetime) == Lifetime(600)
    assert client.call(Method.REFRESH, Lifetime(700)).find(Lifetime) == Lifetime(700)
    assert client.call(Method.REFRESH, Lifetime(9999)).find(Lifetime) == Lifetime(3600)


def test_refresh_with_zero_deletes(client: RawClient) -> None:
    client.allocate()
    assert client.call(Method.REFRESH, Lifetime(0)).find(Lifetime) == Lifetime(0)
    assert client.code(Method.REFRESH) == 437


def test_a_deletion_that_is_retransmitted_is_answered_as_the_first(turn: TurnUnderTest) -> None:
    """Over UDP: a stream loses no answers."""
    with RawClient(turn) as client:
        client.allocate()
        asked = client.signed(Method.REFRESH, Lifetime(0))
        assert client.exchange(asked).message_class is MessageClass.SUCCESS
        assert client.exchange(asked).message_class is MessageClass.SUCCESS


def test_refresh_without_an_allocation_is_437(client: RawClient) -> None:
    assert client.log_in().code(Method.REFRESH) == 437


def test_refresh_of_another_family_is_443(client: RawClient) -> None:
    client.allocate()
    assert client.code(Method.REFRESH, IPV6) == 443
    assert client.code(Method.REFRESH, IPV4) is None


def test_a_request_of_the_same_transaction_with_other_bytes_is_not_a_repetition(
    client: RawClient,
) -> None:
    client.log_in()
    tid = transaction_id()
    client.exchange(client.signed(Method.ALLOCATE, UDP, tid=tid))
    answer = client.exchange(client.signed(Method.REFRESH, Lifetime(0), tid=tid))
    assert answer.method is Method.REFRESH
    assert Message.decode(client.signed(Method.REFRESH)).method is Method.REFRESH
