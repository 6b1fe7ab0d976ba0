"""Several workers are one server: whatever reaches one of them and is another's gets there."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from natkit.turn.handover import mark_of
from natkit.wire import (
    ChannelData,
    ConnectionId,
    EvenPort,
    Lifetime,
    Message,
    MessageClass,
    Method,
    MobilityTicket,
    ReservationToken,
    TransportAddress,
    Unrecognised,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.interop.workers import client_at, worker_of
from tests.ports import free_port
from tests.turnkit import PATIENCE, TCP, UDP, Peer, RawClient, error_of
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

CHANNEL = 0x4000


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    where, allow = tmp_path_factory.mktemp("crew"), ("127.0.0.0/30",)
    with turn_server(where, ips=["127.0.0.1"], allow=allow, program="natkit-crew") as server:
        yield server


@pytest.fixture(params=["udp", "tcp", "tls"])
def at(crew: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[Callable[[int], RawClient]]:
    """Makes clients at workers, over one transport after the other."""
    with contextlib.ExitStack() as closing:
        yield lambda worker: closing.enter_context(client_at(crew, worker, request.param))


At = Callable[[int], RawClient]


def carries_both_ways(client: RawClient, peer: Peer, relayed: TransportAddress) -> None:
    client.send_on(CHANNEL, b"there")
    assert peer.receive() == (b"there", relayed)
    peer.send(b"back", relayed)
    assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, b"back")


def test_reserved_port_is_had_by_a_client_at_another_worker(at: At, peer: Peer) -> None:
    owner, other = at(0), at(1)
    answer = owner.call(Method.ALLOCATE, UDP, EvenPort(True))
    token, first = answer.find(ReservationToken), answer.find(XorRelayedAddress)
    assert token is not None
    assert first is not None
    relayed = other.allocate(token)
    assert relayed.port == first.address.port + 1
    other.bind(CHANNEL, peer.address)
    carries_both_ways(other, peer, relayed)
    peer.send(b"without a channel", relayed)
    other.receive()
    other.send_to(peer.address, b"in an indication")
    assert peer.receive() == (b"in an indication", relayed)
    assert other.code(Method.REFRESH) is None
    assert other.code(Method.ALLOCATE, UDP) == 437


def test_client_of_another_worker_is_its_own_again_once_its_allocation_ends(at: At) -> None:
    owner, other = at(0), at(1)
    token = owner.call(Method.ALLOCATE, UDP, EvenPort(True)).find(ReservationToken)
    assert token is not None
    other.allocate(token)
    assert other.code(Method.REFRESH, Lifetime(0)) is None
    assert other.code(Method.REFRESH) == 437
    assert worker_of(other) == 1


def test_token_that_no_worker_has_is_508(at: At) -> None:
    assert at(1).code(Method.ALLOCATE, UDP, ReservationToken(bytes([mark_of(0)] * 8))) == 508


def test_ticket_brings_an_allocation_to_a_client_at_another_worker(at: At, peer: Peer) -> None:
    first, second, third = at(0), at(1), at(0)
    answer = first.call(Method.ALLOCATE, UDP, MobilityTicket(b""))
    ticket, found = answer.find(MobilityTicket), answer.find(XorRelayedAddress)
    assert ticket is not None
    assert found is not None
    first.bind(CHANNEL, peer.address)
    for client in (second, third):
        answer = client.call(Method.REFRESH, ticket)
        assert error_of(answer) is None
        ticket = answer.find(MobilityTicket)
        assert ticket is not None
        carries_both_ways(client, peer, found.address)
    assert second.code(Method.REFRESH) == 437
    assert second.allocate() != found.address


def test_ticket_of_another_user_moves_nothing_to_another_worker(at: At) -> None:
    owner, thief = at(0), at(1)
    ticket = owner.call(Method.ALLOCATE, UDP, MobilityTicket(b"")).find(MobilityTicket)
    assert ticket is not None
    thief.log_in(("other", "word-pass"))
    assert thief.code(Method.REFRESH, ticket) == 441
    assert owner.code(Method.REFRESH) is None
    assert thief.code(Method.ALLOCATE, UDP) is None


@dataclass
class Connected:
    """A connection that an allocation at worker 0 has with a peer, to be bound at worker 1."""

    control: RawClient
    data: RawClient
    number: ConnectionId
    peer: socket.socket


@contextlib.contextmanager
def connected(server: TurnUnderTest, transport: str = "tcp") -> Iterator[Connected]:
    with (
        client_at(server, 0, transport) as control,
        client_at(server, 1, transport) as data,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        listener.settimeout(PATIENCE)
        at = TransportAddress(*listener.getsockname())
        assert control.code(Method.ALLOCATE, TCP) is None
        control.permit(at)
        number = control.call(Method.CONNECT, XorPeerAddress(at)).find(ConnectionId)
        assert number is not None
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            yield Connected(control, data, number, peer)


@pytest.fixture(params=["tcp", "tls"])
def bound(
    crew: TurnUnderTest, request: pytest.FixtureRequest
) -> Iterator[tuple[RawClient, socket.socket]]:
    """Both ends of one that is bound; both have sent something before it was."""
    with connected(crew, request.param) as made:
        made.peer.sendall(b"early")
        made.data.send(made.data.signed(Method.CONNECTION_BIND, made.number) + b"at once")
        answer = Message.decode(made.data.receive())
        assert answer.message_class is MessageClass.SUCCESS, answer
        yield made.data, made.peer


def exactly(made: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := made.recv(size - len(data))):
        data += more
    return data


def test_connection_is_bound_by_a_client_at_another_worker(
    bound: tuple[RawClient, socket.socket],
) -> None:
    client, peer = bound
    assert exactly(client.socket, 5) == b"early"
    assert exactly(peer, 7) == b"at once"
    much = os.urandom(3 << 20)
    for one, other in ((client.socket, peer), (peer, client.socket)):
        sending = threading.Thread(target=one.sendall, args=[much])
        sending.start()
        assert exactly(other, len(much)) == much
        sending.join()


@pytest.mark.parametrize("who", ["client", "peer"])
def test_other_end_closes_when_one_has_though_they_are_at_two_workers(
    bound: tuple[RawClient, socket.socket], who: str
) -> None:
    client, peer = bound
    exactly(client.socket, 5)
    exactly(peer, 7)
    if who == "client":
        client.close()
        assert peer.recv(10) == b""
    else:
        peer.close()
        assert client.is_closed()


def test_bound_connection_ends_with_its_allocation_at_another_worker(crew: TurnUnderTest) -> None:
    with connected(crew) as made:
        assert made.data.code(Method.CONNECTION_BIND, made.number) is None
        assert made.control.code(Method.REFRESH, Lifetime(0)) is None
        assert made.data.is_closed()
        assert made.peer.recv(10) == b""


# -- one server to its owner --


@contextlib.contextmanager
def watched(where: Path, *words: str) -> Iterator[tuple[TurnUnderTest, str]]:
    """Run two workers whose metrics can be read; gives the server and where its pages are."""
    at = f"127.0.0.1:{free_port()}"
    with turn_server(
        where,
        *("--metrics", at, *words),
        ips=["127.0.0.1"],
        allow=("127.0.0.0/30",),
        program="natkit-crew",
    ) as server:
        yield server, f"http://{at}"


def metric(pages: str, name: str) -> float:
    with urllib.request.urlopen(f"{pages}/metrics", timeout=PATIENCE) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def eventually(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; false: it was not within PATIENCE."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if is_so():
                return True
        time.sleep(0.02)
    return False


def test_quota_of_a_user_holds_over_workers(tmp_path: Path) -> None:
    with watched(tmp_path, "--user-quota", "3") as (server, _), contextlib.ExitStack() as closing:
        clients = [closing.enter_context(client_at(server, n % 2)) for n in range(6)]
        codes = [client.code(Method.ALLOCATE, UDP) for client in clients]
        assert codes == [None, None, None, 486, 486, 486]
        assert clients[0].code(Method.REFRESH, Lifetime(0)) is None
        assert clients[5].code(Method.ALLOCATE, UDP) is None


def test_metrics_are_those_of_all_workers(tmp_path: Path, peer: Peer) -> None:
    with watched(tmp_path) as (server, pages), contextlib.ExitStack() as closing:
        one, other = (closing.enter_context(client_at(server, n)) for n in (0, 1))
        for client in (one, other):
            relayed = client.allocate()
            client.bind(CHANNEL, peer.address)
            carries_both_ways(client, peer, relayed)
        assert metric(pages, 'natkit_turn_allocations{transport="udp"}') == 2
        assert metric(pages, "natkit_turn_to_peers_packets_total") == 2
        assert metric(pages, "natkit_turn_workers ") == 2
        assert metric(pages, "natkit_turn_relay_ports ") == 65535 - 49152 + 1


def test_other_settings_reach_all_workers(tmp_path: Path) -> None:
    config = tmp_path / "turn.toml"
    config.write_text('user = ["late:comer"]\n')
    words = ["--config", str(config)]
    with turn_server(tmp_path, *words, users=[], program="natkit-crew") as server:
        config.write_text('user = ["user:pass-word", "late:comer"]\n')
        os.kill(server.process.pid, signal.SIGHUP)
        assert eventually(lambda: "reloaded" in server.log.read_text())
        for worker in (0, 1):
            client_at(server, worker).close()


def is_turned_away(client: RawClient, by: int) -> bool:
    """Tell whether no allocation can be made any more; one that could is deleted."""
    code = client.code(Method.ALLOCATE, UDP)
    if code is None:
        assert client.code(Method.REFRESH, Lifetime(0)) is None
    return code == by


def test_sigterm_drains_all_workers_and_ends_them(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, _):
        workers = server.pids[1:]
        with client_at(server, 0) as calling, client_at(server, 1) as late:
            calling.allocate()
            os.kill(server.process.pid, signal.SIGTERM)
            assert eventually(lambda: "draining" in server.log.read_text())
            assert eventually(lambda: is_turned_away(late, 508))
            assert calling.code(Method.REFRESH) is None
            assert calling.code(Method.REFRESH, Lifetime(0)) is None
            assert server.process.wait(10) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_client_is_sent_elsewhere_while_the_server_drains(tmp_path: Path) -> None:
    words = "--alternate-server", "203.0.113.9:3478"
    with watched(tmp_path, *words) as (server, _), client_at(server, 0) as calling:
        calling.allocate()
        os.kill(server.process.pid, signal.SIGTERM)
        assert eventually(lambda: "draining" in server.log.read_text())
        with RawClient(server) as late:
            late.log_in()
            assert eventually(lambda: is_turned_away(late, 300))


def test_log_has_the_end_of_every_allocation_when_the_server_is_stopped(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, _), contextlib.ExitStack() as closing:
        for _ in range(300):
            closing.enter_context(RawClient(server)).allocate()
        os.kill(server.process.pid, signal.SIGTERM)
        assert eventually(lambda: "draining" in server.log.read_text())
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert server.log.read_text().count("allocation ended") == 300


def test_workers_end_when_their_crew_is_killed(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, _):
        workers = server.pids[1:]
        assert len(workers) == 2
        server.process.kill()
        server.process.wait(10)
        assert eventually(lambda: not any(map(_runs, workers)))


def _runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_second_server_on_the_same_port_does_not_start(tmp_path: Path) -> None:
    """SO_REUSEPORT would let it, and give it half of the clients."""
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    with watched(one) as (server, _):
        words = ["--listen", f"udp://127.0.0.1:{server.port}"]
        with pytest.raises(AssertionError, match="cannot listen"), watched(two, *words):
            pass


def test_user_who_is_refused_at_length_takes_no_call_down_and_fills_no_log(tmp_path: Path) -> None:
    many = [Unrecognised(number, b"") for number in range(0x1000, 0x1000 + 1700)]
    with watched(tmp_path) as (server, _), contextlib.ExitStack() as closing:
        calls = [closing.enter_context(client_at(server, n % 2)) for n in range(4)]
        for call in calls:
            call.allocate()
        for worker in (0, 1):
            with client_at(server, worker) as rude:
                for _ in range(50):
                    assert rude.code(Method.REFRESH, *many) == 420
        assert [call.code(Method.REFRESH) for call in calls] == [None] * 4
        assert eventually(lambda: server.log.read_text().count("code=420") == 100)
        assert max(map(len, server.log.read_text().splitlines())) < 1000


def test_thousands_of_users_are_reloaded_while_calls_go_on_but_for_those_of_who_is_gone(
    tmp_path: Path,
) -> None:
    config = tmp_path / "turn.toml"
    config.write_text('user = ["user:pass-word"]\n')
    with turn_server(tmp_path, "--config", str(config), users=[], program="natkit-crew") as server:
        with client_at(server, 0) as one, client_at(server, 1) as other:
            one.allocate()
            other.allocate()
            users = ", ".join(f'"user{n}:{n:060}"' for n in range(10_000))
            config.write_text(f'user = ["user:pass-word", {users}]\n')
            os.kill(server.process.pid, signal.SIGHUP)
            assert eventually(lambda: "reloaded" in server.log.read_text())
            assert one.code(Method.REFRESH) is None
            assert other.code(Method.REFRESH) is None
            config.write_text(f"user = [{users}]\n")
            os.kill(server.process.pid, signal.SIGHUP)
            assert eventually(lambda: {it.code(Method.REFRESH) for it in (one, other)} == {401})
        for _ in range(6):
            with RawClient(server) as late:
                assert late.log_in(("user9999", f"{9999:060}")).code(Method.ALLOCATE, UDP) is None


def test_peer_that_has_sent_much_before_it_is_bound_loses_nothing(crew: TurnUnderTest) -> None:
    much = os.urandom(1 << 20)
    with connected(crew) as made:
        sending = threading.Thread(target=made.peer.sendall, args=[much])
        sending.start()
        assert made.data.code(Method.CONNECTION_BIND, made.number) is None
        assert exactly(made.data.socket, len(much)) == much
        sending.join()


# -- a worker dies --


def test_calls_at_other_workers_lose_nothing_when_one_is_killed(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, pages), contextlib.ExitStack() as closing:
        calls = [Call(closing, server, n % 2) for n in range(8)]
        killed, kept = calls[::2], calls[1::2]
        victim = _worker_processes(server)[0]
        for turn in range(300):
            if turn == 100:
                os.kill(victim, signal.SIGKILL)
            for call in calls:
                call.send()
                call.listen()
            time.sleep(0.005)
        assert [call.heard() for call in kept] == [300] * len(kept)
        assert eventually(lambda: metric(pages, "natkit_turn_workers ") == 2)
        assert metric(pages, "natkit_turn_workers_lost_total") == 1
        assert metric(pages, 'natkit_turn_allocations_ended_total{reason="worker_lost"}') == 4
        for call in killed:
            assert call.client.code(Method.REFRESH) == 437
            call.client.allocate()
            assert worker_of_allocated(call.client) == 0
        log = server.log.read_text()
        assert "worker lost" in log
        lost = [line for line in log.splitlines() if "the worker process" in line]
        assert len(lost) == 4
        assert not any("packets" in line for line in lost)  # nobody knows what it carried


class Call:
    """A client at a worker, with a channel to a peer that counts what comes."""

    def __init__(self, closing: contextlib.ExitStack, server: TurnUnderTest, worker: int) -> None:
        self.client = closing.enter_context(client_at(server, worker))
        self._peer = closing.enter_context(Peer())
        self._count = 0
        self.client.allocate()
        self.client.bind(CHANNEL, self._peer.address)

    def send(self) -> None:
        self.client.send_on(CHANNEL, bytes(172))

    def listen(self, patience: float = 0.0) -> None:
        """Count what has come."""
        self._peer.socket.settimeout(patience)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while self._peer.socket.recv(2000):
                self._count += 1

    def heard(self) -> int:
        """Return how many packets came in all."""
        self.listen(0.5)
        return self._count


def worker_of_allocated(client: RawClient) -> int:
    assert client.code(Method.REFRESH, Lifetime(0)) is None
    return worker_of(client)


def _worker_processes(server: TurnUnderTest) -> list[int]:
    """Return the processes of the workers, in their order: they were started in it."""
    return sorted(server.pids[1:])


@pytest.mark.parametrize("dies", [0, 1])
def test_client_that_was_handed_over_can_allocate_anew_when_either_worker_dies(
    tmp_path: Path, dies: int
) -> None:
    with watched(tmp_path) as (server, pages), contextlib.ExitStack() as closing:
        owner, guest = (closing.enter_context(client_at(server, n)) for n in (0, 1))
        token = owner.call(Method.ALLOCATE, UDP, EvenPort(True)).find(ReservationToken)
        assert token is not None
        guest.allocate(token)
        os.kill(_worker_processes(server)[dies], signal.SIGKILL)
        assert eventually(lambda: metric(pages, "natkit_turn_workers_lost_total") == 1)
        assert eventually(lambda: metric(pages, "natkit_turn_workers ") == 2)
        assert eventually(lambda: guest.code(Method.REFRESH) == 437)
        assert guest.code(Method.ALLOCATE, UDP) is None


def test_bytes_of_a_connection_bound_at_another_worker_are_counted(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, pages), connected(server) as made:
        assert made.data.code(Method.CONNECTION_BIND, made.number) is None
        made.data.socket.sendall(bytes(100_000))
        assert len(exactly(made.peer, 100_000)) == 100_000
        made.peer.sendall(bytes(1000))
        assert len(exactly(made.data.socket, 1000)) == 1000
        made.peer.close()
        assert made.data.is_closed()
        assert eventually(lambda: metric(pages, "natkit_turn_to_peers_bytes_total") == 100_000)
        assert eventually(lambda: metric(pages, "natkit_turn_from_peers_bytes_total") == 1000)
