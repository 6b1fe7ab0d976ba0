"""Other people's TURN clients through `natkit turn serve`: coturn's own, and aioice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import pytest

from natkit.wire import MessageClass, Method
from tests.needs import SBIN
from tests.ports import free_port
from tests.turnbeyond import turn_server_beyond
from tests.turnfixtures import beyond
from tests.turnkit import RawClient
from tests.turnserver import (
    BEYOND,
    ONLY_BEYOND,
    PROGRAMS,
    SECRET,
    USER,
    Around,
    TurnUnderTest,
    turn_server,
)

pytestmark = pytest.mark.interop

LOOPBACK = ("127.0.0.1/32", "::1/128")
NOTHING_LOST = "Total lost packets 0 (0.000000%)"

uclient = pytest.mark.needs("turnutils_uclient", "turnutils_peer")


@pytest.fixture(scope="module", params=[PROGRAMS[0], ONLY_BEYOND])
def fleet(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TurnUnderTest]:
    """A server whose users come with REST credentials, or with a password."""
    words, where = ("--secret", SECRET), tmp_path_factory.mktemp("fleet")
    if request.param == BEYOND:
        running = turn_server_beyond(where, *words)
    else:
        running = turn_server(where, *words, allow=LOOPBACK, program=request.param)
    with running as server:
        yield server


@contextlib.contextmanager
def echoing(around: Around) -> Iterator[int]:
    """The port on which coturn's peer sends everything back, on an IPv4 and an IPv6 address."""
    port = free_port()
    command = ["turnutils_peer", "-p", str(port)]
    command += ["-L", around.peers[0], "-L", around.peers_ipv6[0]]
    with around.entered():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@pytest.fixture(scope="module")
def echo(fleet: TurnUnderTest) -> Iterator[int]:
    with echoing(fleet.around) as port:
        yield port


class Uclients:
    """Runs of turnutils_uclient, all at once: each takes some 6 s, nearly all of it waiting."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(len(WAYS))
        self._runs: dict[str, Future[str]] = {}

    def begin(self, name: str, server: TurnUnderTest, words: tuple[str, ...]) -> None:
        self._runs[name] = self._pool.submit(run, server, *words)

    def said(self, name: str) -> str:
        """Return what the run said, once it has ended."""
        return self._runs[name].result(60)


def run(server: TurnUnderTest, *words: str, patience: float = 60) -> str:
    """Run turnutils_uclient to its end and return what it says, its exit code last."""
    port = server.tls_port if "-S" in words else server.port
    host = server.ips["FROM-IPV6" in words]
    names = {"PEER": server.around.peers[0], "IPV6-PEER": server.around.peers_ipv6[0]}
    words = tuple(names.get(word, word) for word in words if word != "FROM-IPV6")
    with server.around.entered():
        done = subprocess.run(
            ["turnutils_uclient", "-p", str(port), *words, host],
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
            env={"PATH": f"{os.environ['PATH']}:{SBIN}"},
        )
    return f"{done.stdout}{done.stderr}exit {done.returncode}"


REST = ("-u", "user", "-W", SECRET)
PASSWORD = ("-u", USER[0], "-w", USER[1])

ECHO = ("-X", "-e", "PEER", "-r")
"""Speak with coturn's peer; its port comes next."""

WAYS: dict[str, tuple[str, ...]] = {
    "udp": (*REST, *ECHO),
    "send indications": ("-s", *REST, *ECHO),
    "tcp": ("-t", *REST, *ECHO),
    "tcp, send indications": ("-t", "-s", *REST, *ECHO),
    "tls": ("-t", "-S", *REST, *ECHO),
    "dtls": ("-S", *REST, *ECHO),
    "dtls, send indications": ("-S", "-s", *REST, *ECHO),
    "no rtcp": ("-c", *REST, *ECHO),
    "padded channel data on udp": ("-D", *REST, *ECHO),
    "more permissions and bindings": ("-G", *REST, *ECHO),
    "dont-fragment": ("-g", *REST, *ECHO),
    "mobility": ("-M", *REST, *ECHO),
    "two families": ("-Z", *REST, *ECHO),
    "password, udp": (*PASSWORD, *ECHO),
    "password, tcp": ("-t", *PASSWORD, *ECHO),
    "password, tls": ("-t", "-S", *PASSWORD, *ECHO),
    "password, dtls": ("-S", *PASSWORD, *ECHO),
    "password, tcp relay": ("-T", *PASSWORD),
    "relay to relay, udp": ("-y", *REST),
    "relay to relay, tcp": ("-y", "-t", *REST),
    "relay to relay, tls": ("-y", "-t", "-S", *REST),
    "relay to relay, dtls": ("-y", "-S", *REST),
    "relay to relay, mobility": ("-y", "-M", *REST),
    "tcp relay": ("-T", *REST),
    "tcp relay over tls": ("-T", "-S", *REST),
    "ipv6 from ipv4": ("-x", *REST, "-e", "IPV6-PEER", "-r"),
    "ipv6 from ipv6": ("FROM-IPV6", "-x", *REST, "-e", "IPV6-PEER", "-r"),
    "disconnects": ("-B", *REST, *ECHO),
    "passive tcp relay": ("-P", *REST),
    "wrong secret": ("-u", "user", "-W", "wrong", "-v", *ECHO),
    "negative": ("-N", *REST, *ECHO),
}

ODD = ("disconnects", "passive tcp relay", "wrong secret", "negative")
"""Those whose success looks different."""


@pytest.fixture(scope="module")
def uclients(fleet: TurnUnderTest, echo: int) -> Uclients:
    runs = Uclients()
    for name, words in WAYS.items():
        port = (str(echo),) if "-r" in words else ()
        runs.begin(name, fleet, (*words, *port))
    return runs


@uclient
@pytest.mark.needs("ipv6")
@pytest.mark.parametrize("way", [name for name in WAYS if name not in ODD])
def test_uclient_loses_nothing(uclients: Uclients, way: str) -> None:
    said = uclients.said(way)
    assert NOTHING_LOST in said, said
    assert said.endswith("exit 0")
    if "tcp relay" in way:
        assert "tot_send_msgs=10, tot_recv_msgs=10" in said
    elif "password" in way:
        assert "tot_send_bytes ~ 1000, tot_recv_bytes ~ 1000" in said


@uclient
def test_uclient_that_disconnects_ends_well(uclients: Uclients) -> None:
    assert uclients.said("disconnects").endswith("exit 0")


@uclient
@pytest.mark.parametrize("fleet", PROGRAMS[:1], indirect=True)
def test_uclient_relays_tcp_passively(uclients: Uclients) -> None:
    """It reports half of its messages as lost against coturn as well: it counts both directions.

    On loopback alone, where it seeks its peer, whatever one tells it.
    """
    said = uclients.said("passive tcp relay")
    assert "tot_recv_msgs=5" in said, said
    assert said.endswith("exit 0")


@uclient
def test_uclient_with_a_wrong_secret_is_refused(uclients: Uclients) -> None:
    said = uclients.said("wrong secret")
    assert "Cannot complete Allocation" in said
    assert said.endswith("exit 255")


@uclient
def test_uclient_finds_a_channel_taken(uclients: Uclients) -> None:
    """Its negative tests end with 255 by design; what counts is the 400 that it sees."""
    assert "channel bind: error 400" in uclients.said("negative")


@uclient
def test_fifty_uclients_lose_nothing(fleet: TurnUnderTest) -> None:
    said = run(fleet, "-m", "50", "-n", "100", "-z", "20", "-l", "170", "-y", "-c", *REST)
    assert NOTHING_LOST in said


@uclient
@pytest.mark.parametrize("attack", [("-R",), ("-O", "-m", "20")], ids=["protocol", "quick exit"])
def test_a_server_survives_uclients_attacks(
    fleet: TurnUnderTest, echo: int, attack: tuple[str, ...]
) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        run(fleet, *attack, *REST, *ECHO, str(echo), patience=5)
    with fleet.around.entered(), RawClient(fleet) as honest:
        assert honest.bare(Method.BINDING).message_class is MessageClass.SUCCESS
    assert "Traceback" not in fleet.log.read_text(errors="replace")


@uclient
@beyond
def test_uclients_packets_go_by_the_kernel(turn: TurnUnderTest) -> None:
    """But for a first one of a client's, which may come while its channel is on its way there, and
    one each way for the neighbours to be asked.
    """
    before = turn.around.in_kernel()
    with echoing(turn.around) as port:
        said = run(turn, *PASSWORD, "-c", "-m", "4", "-n", "50", "-z", "5", *ECHO, str(port))
    assert NOTHING_LOST in said
    assert "tot_recv_msgs=200" in said, said
    assert 2 * 200 - 3 * 4 <= turn.around.in_kernel() - before <= 2 * 200


# -- aioice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_aioice_relays(turn: TurnUnderTest, transport: str) -> None:
    aioice_turn = pytest.importorskip("aioice.turn")
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.put_nowait(data)

        def connection_lost(self, exc: Exception | None) -> None:
            gone.set()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data, addr)

    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=(turn.around.peers[0], 0))
    is_tls = transport == "tls"
    relay, _ = await aioice_turn.create_turn_endpoint(
        Client,
        server_addr=(turn.ip, turn.tls_port if is_tls else turn.port),
        username=USER[0],
        password=USER[1],
        transport="udp" if transport == "udp" else "tcp",
        ssl=turn.trust if is_tls else False,
    )
    try:
        assert relay.get_extra_info("sockname")[0] == turn.relay[0]
        relay.sendto(b"ping", echo.get_extra_info("sockname"))
        async with asyncio.timeout(5):
            assert await heard.get() == b"ping"
    finally:
        relay.close()
        echo.close()
        # It deletes its allocation in a task of its own, and closes its socket after that: over TLS
        # once the server has said goodbye as well.
        async with asyncio.timeout(5):
            await gone.wait()


def test_the_log_of_all_this_knows_no_traceback(turn: TurnUnderTest) -> None:
    assert "Traceback" not in turn.log.read_text(errors="replace")
