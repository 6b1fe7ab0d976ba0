"""Other people's TURN clients through `natkit turn serve`: coturn's own, and aioice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_stun import free_port
from tests.needs import SBIN
from tests.turnserver import SECRET, USER, TurnUnderTest, turn_server

pytestmark = pytest.mark.interop

LOOPBACK = ("127.0.0.1/32", "::1/128")
NOTHING_LOST = "Total lost packets 0 (0.000000%)"

uclient = pytest.mark.needs("turnutils_uclient", "turnutils_peer")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server whose users come with REST credentials."""
    words = ("--secret", SECRET)
    where = tmp_path_factory.mktemp("fleet")
    with turn_server(where, *words, users=(), allow=LOOPBACK) as server:
        yield server


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """The port on which coturn's peer sends everything back, on 127.0.0.1 and ::1."""
    port = free_port()
    command = ["turnutils_peer", "-p", str(port), "-L", "127.0.0.1", "-L", "::1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    yield port
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def run(server: TurnUnderTest, *words: str, tls: bool = False, ip: str = "127.0.0.1") -> str:
    """Run turnutils_uclient to its end and return what it says."""
    port = server.tls_port if tls else server.port
    done = subprocess.run(
        ["turnutils_uclient", "-p", str(port), *words, ip],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": f"{os.environ['PATH']}:{SBIN}"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


USERS = ("-u", USER[0], "-w", USER[1])
REST = ("-u", "user", "-W", SECRET)

WAYS = {
    "udp": (),
    "send indications": ("-s",),
    "tcp": ("-t",),
    "tcp, send indications": ("-t", "-s"),
    "tls": ("-t", "-S"),
    "no rtcp": ("-c",),
    "padded channel data on udp": ("-D",),
    "more permissions and bindings": ("-G",),
    "dont-fragment": ("-g",),
    "disconnects": ("-B",),
    "mobility": ("-M",),
    "two families": ("-Z",),
}


@uclient
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_uclient_loses_nothing_with_rest_credentials(
    fleet: TurnUnderTest, echo: int, way: tuple[str, ...]
) -> None:
    peer = ("-e", "127.0.0.1", "-r", str(echo))
    said = run(fleet, *way, *peer, "-X", *REST, tls="-S" in way)
    if "-B" not in way:
        assert NOTHING_LOST in said, said


@uclient
@pytest.mark.parametrize("way", [(), ("-t",), ("-t", "-S")], ids=["udp", "tcp", "tls"])
def test_uclient_loses_nothing_with_a_password(
    turn: TurnUnderTest, echo: int, way: tuple[str, ...]
) -> None:
    said = run(turn, *way, "-e", "127.0.0.1", "-r", str(echo), "-X", "-g", *USERS, tls="-S" in way)
    assert "tot_send_bytes ~ 1000, tot_recv_bytes ~ 1000" in said
    assert NOTHING_LOST in said


@uclient
@pytest.mark.parametrize("way", [(), ("-t",), ("-t", "-S"), ("-M",)], ids=str)
def test_two_uclients_meet_at_their_relayed_addresses(
    fleet: TurnUnderTest, way: tuple[str, ...]
) -> None:
    said = run(fleet, "-y", *way, *REST, tls="-S" in way)
    assert NOTHING_LOST in said


@uclient
@pytest.mark.needs("ipv6")
@pytest.mark.parametrize("ip", ["::1", "127.0.0.1"])
def test_uclient_relays_by_ipv6(fleet: TurnUnderTest, echo: int, ip: str) -> None:
    said = run(fleet, "-x", "-e", "::1", "-r", str(echo), *REST, ip=ip)
    assert NOTHING_LOST in said


@uclient
@pytest.mark.parametrize("way", [(), ("-S",)], ids=["tcp", "tls"])
def test_uclient_relays_tcp(fleet: TurnUnderTest, way: tuple[str, ...]) -> None:
    said = run(fleet, "-T", *way, *REST, tls="-S" in way)
    assert "tot_send_msgs=10, tot_recv_msgs=10" in said
    assert NOTHING_LOST in said


@uclient
def test_fifty_uclients_lose_nothing(fleet: TurnUnderTest) -> None:
    said = run(fleet, "-m", "50", "-n", "200", "-z", "20", "-l", "170", "-y", "-c", *REST)
    assert NOTHING_LOST in said


@uclient
def test_uclient_with_a_wrong_secret_is_refused(fleet: TurnUnderTest, echo: int) -> None:
    with pytest.raises(AssertionError, match="Cannot complete Allocation"):
        run(fleet, "-e", "127.0.0.1", "-r", str(echo), "-u", "user", "-W", "wrong", "-v")


@uclient
def test_uclient_finds_a_channel_taken(fleet: TurnUnderTest, echo: int) -> None:
    """Its negative tests end with 255 by design; what counts is the 400 that it sees."""
    with pytest.raises(AssertionError, match=r"channel bind: error 400"):
        run(fleet, "-N", "-e", "127.0.0.1", "-r", str(echo), *REST)


@uclient
@pytest.mark.parametrize("attack", [("-R",), ("-O", "-m", "20")], ids=["protocol", "quick exit"])
def test_a_server_survives_uclients_attacks(
    fleet: TurnUnderTest, echo: int, attack: tuple[str, ...]
) -> None:
    peer = ("-e", "127.0.0.1", "-r", str(echo))
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["turnutils_uclient", "-p", str(fleet.port), *attack, *REST, *peer, "127.0.0.1"],
            capture_output=True,
            check=False,
            timeout=5,
        )
    assert NOTHING_LOST in run(fleet, *peer, *REST)


# -- aioice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_aioice_relays(turn: TurnUnderTest, transport: str) -> None:
    aioice_turn = pytest.importorskip("aioice.turn")
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.put_nowait(data)

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.DatagramTransport)
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data, addr)

    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    is_tls = transport == "tls"
    relay, _ = await aioice_turn.create_turn_endpoint(
        Client,
        server_addr=(
            "localhost" if is_tls else "127.0.0.1",
            turn.tls_port if is_tls else turn.port,
        ),
        username=USER[0],
        password=USER[1],
        transport="udp" if transport == "udp" else "tcp",
        ssl=turn.trust if is_tls else False,
    )
    try:
        assert relay.get_extra_info("sockname")[0] == "127.0.0.1"
        relay.sendto(b"ping", echo.get_extra_info("sockname"))
        assert await asyncio.wait_for(heard.get(), 5) == b"ping"
    finally:
        relay.close()
        echo.close()
        await asyncio.sleep(0.2)


def test_the_log_of_all_this_knows_no_traceback(turn: TurnUnderTest, tmp_path: Path) -> None:
    assert "Traceback" not in turn.log.read_text(errors="replace")
