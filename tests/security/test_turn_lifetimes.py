"""What a client was granted ends when its time is over: seconds here, minutes on a real server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from natkit.wire import EvenPort, Method, ReservationToken, TransportAddress
from tests.soak_server import LIFETIMES
from tests.turnkit import UDP, Peer, RawClient
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

PERMISSION = LIFETIMES["natkit.turn.allocation.PERMISSION_LIFETIME"]
CHANNEL = LIFETIMES["natkit.turn.allocation.CHANNEL_LIFETIME"]
ALLOCATION = LIFETIMES["natkit.turn.wanted.DEFAULT_LIFETIME"]
RESERVATION = LIFETIMES["natkit.turn.allocate.RESERVATION_LIFETIME"]
NUMBER = 0x4000


@dataclass
class Aging:
    """A client, a permitted peer and one with a channel, all made at the same time."""

    client: RawClient
    permitted: Peer = field(default_factory=Peer)
    bound: Peer = field(default_factory=lambda: Peer("127.0.0.2"))

    def __post_init__(self) -> None:
        answer = self.client.log_in().call(Method.ALLOCATE, UDP, EvenPort(True))
        token = answer.find(ReservationToken)
        assert token is not None, answer
        self.token = token
        self.client.bind(NUMBER, self.bound.address)
        self.client.permit(self.permitted.address)
        self.client.send_to(self.permitted.address, b"hello")
        self.relayed: TransportAddress = self.permitted.receive()[1]
        self.made = time.monotonic()

    def passed_on(self) -> None:
        """Wait until the server has read all that peers have sent: who came last is heard first."""
        with Peer("127.0.0.3") as last:
            self.client.permit(last.address)
            last.send(b"the last one", self.relayed)
            assert b"the last one" in self.client.receive()

    def wait(self, age: float) -> None:
        """Wait until it is a little older than `age` seconds."""
        time.sleep(max(0.0, self.made + age + 0.3 - time.monotonic()))

    def close(self) -> None:
        self.client.close()
        self.permitted.socket.close()
        self.bound.socket.close()


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server with short lifetimes."""
    where = tmp_path_factory.mktemp("brief")
    words: dict[str, Any] = {
        "allow": ("127.0.0.0/30",),
        "module": "tests.soak_server",
        "program": "natkit",
    }
    with turn_server(where, ips=("127.0.0.1",), **words) as server:
        yield server


@pytest.fixture(params=["udp", "tcp"])
def it(brief: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[Aging]:
    with contextlib.closing(Aging(RawClient(brief, request.param))) as made:
        yield made


def test_what_is_granted_ends_in_its_order(brief: TurnUnderTest, it: Aging) -> None:
    it.wait(RESERVATION)
    with RawClient(brief) as late:
        assert late.log_in().code(Method.ALLOCATE, UDP, it.token) == 508
    it.permitted.send(b"still permitted, which prolongs nothing", it.relayed)
    assert b"still" in it.client.receive()
    it.wait(PERMISSION)
    it.permitted.send(b"not permitted", it.relayed)
    it.bound.send(b"nor this one", it.relayed)
    it.client.send_to(it.permitted.address, b"nor the other way")
    it.client.send_on(NUMBER, b"nor on the channel")
    it.passed_on()
    assert it.client.fence() == []
    assert nothing_came(it.permitted)
    assert nothing_came(it.bound)
    it.client.permit(it.bound.address)
    it.client.send_on(NUMBER, b"permitted again")
    assert it.bound.receive()[0] == b"permitted again"
    it.wait(CHANNEL)
    it.client.send_on(NUMBER, b"no channel")
    assert it.client.fence() == []
    assert nothing_came(it.bound)
    it.wait(ALLOCATION)
    assert it.client.code(Method.REFRESH) == 437
    assert it.permitted.await_nobody(it.relayed)


def nothing_came(peer: Peer) -> bool:
    """Tell whether nothing waits there; what was sent before a fence would be there by now."""
    peer.socket.setblocking(False)
    try:
        peer.receive()
    except BlockingIOError:
        return True
    finally:
        peer.socket.settimeout(5.0)
    return False
