"""Our TURN client, and the tools on it, against coturn and against natkit's own server."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_client import RelayedEndpoint
from natkit.aio.turn_failure import Server
from natkit.cli.main import main
from natkit.network import Family, Tls
from natkit.tools.stun import Trust
from natkit.tools.turn_check import Manner, check
from natkit.tools.turn_path import Inbox
from natkit.tools.turn_words import Given
from natkit.turn.client_allocation import PLAIN, Wish
from natkit.turn.client_auth import Login
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress
from tests.turnserver import SECRET, USER, TurnUnderTest, turn_server

pytestmark = [pytest.mark.interop, pytest.mark.needs("turnserver")]

WORLD = ("127.0.0.1/32", "::1/128")


@pytest.fixture(scope="module", params=["coturn", "natkit"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TurnUnderTest]:
    where = tmp_path_factory.mktemp(request.param)
    with turn_server(where, allow=WORLD, program=request.param) as running:
        yield running


def at(server: TurnUnderTest, transport: Transport, ip: str = "127.0.0.1") -> Server:
    secure = transport is Transport.TLS
    address = TransportAddress(ip, server.tls_port if secure else server.port)
    tls = Tls("localhost", ca_file=str(server.ca_file)) if secure else None
    return Server(address, transport, tls)


async def relay_on(
    server: Server, inbox: Inbox | None = None, wish: Wish = PLAIN
) -> RelayedEndpoint:
    return await RelayedEndpoint.open(
        SocketNetwork(),
        server,
        Login(*USER),
        inbox or Inbox(),
        randomness=secrets.token_bytes,
        wish=wish,
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.needs("ipv6"))])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS])
async def test_data_goes_out_and_back(server: TurnUnderTest, transport: Transport, ip: str) -> None:
    family = Family.IPV6 if ":" in ip else Family.IPV4
    ours, peers = Inbox(), Inbox()
    relay = await relay_on(at(server, transport, ip), ours, Wish((family,)))
    peer = await SocketNetwork().open_datagram(peers, local=TransportAddress(ip, 0))
    for channel in (False, True):
        if channel:
            await relay.open_channel(peer.local)
        for data in (b"", b"x", bytes(1200)):
            relay.send(data, peer.local)
            assert await peers.wait_for(data, 2.0) == relay.local
            peer.send(data, relay.local)
            assert await ours.wait_for(data, 2.0) == peer.local
    peer.close()
    await relay.close_and_wait()


async def test_reserved_port_is_had_by_its_token(server: TurnUnderTest) -> None:
    udp = at(server, Transport.UDP)
    first = await relay_on(udp, wish=Wish(even=True, reserve=True))
    assert first.local.port % 2 == 0
    second = await relay_on(udp, wish=Wish(token=first.allocated.token))
    assert second.local.port == first.local.port + 1
    await first.close_and_wait()
    await second.close_and_wait()


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["turn", *words])


def logged_in(server: TurnUnderTest) -> tuple[str, ...]:
    name, password = USER
    return ("--username", name, "--password", password, "--ca-file", str(server.ca_file))


def test_check_passes_over_every_transport(server: TurnUnderTest) -> None:
    uris = (f"turn:127.0.0.1:{server.port}", f"turns:localhost:{server.tls_port}")
    result = run("check", *uris, *logged_in(server), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["works"] is True
    asked = [
        transport
        for one in document["servers"]
        for transport in one["transports"]
        if transport["asked"] and transport["server"]["address"] == "127.0.0.1"
    ]
    assert [one["transport"] for one in asked] == ["udp", "tcp", "tls"]
    for one in asked:
        assert [step["state"] for step in one["steps"]] == ["ok"] * len(one["steps"])


def test_check_names_a_wrong_password_and_ends_with_4(server: TurnUnderTest) -> None:
    uri = f"turn:127.0.0.1:{server.port}?transport=udp"
    result = run("check", uri, "--username", USER[0], "--password", "wrong")
    assert result.exit_code == 4
    assert "does not know this user, or the password is wrong" in result.stdout


def test_check_distrusts_an_unknown_authority(server: TurnUnderTest) -> None:
    result = run("check", f"turns:localhost:{server.tls_port}")
    assert result.exit_code == 3
    assert "--ca-file" in result.stdout


class OneName(SocketNetwork):
    """Real sockets, and a resolver for which every name is this machine."""

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        return ("127.0.0.1",) if family is Family.IPV4 else ()


async def test_check_says_which_name_the_certificate_lacks(server: TurnUnderTest) -> None:
    uri = TurnUri.parse(f"turns:turn.example.org:{server.tls_port}")
    given = Given(Login(*USER), from_secret=False, unix_time=0.0)
    manner = Manner(given, secrets.token_bytes, Trust(ca_file=str(server.ca_file)))
    report = await check(OneName(), uri, manner)
    (problem,) = report.transports[0].problems
    assert problem.what == "the certificate is for another name than turn.example.org"
    assert report.exit_code == 3


def test_check_takes_any_certificate_where_told_to(server: TurnUnderTest) -> None:
    name, password = USER
    uri = f"turns:127.0.0.1:{server.tls_port}"
    result = run("check", uri, "--insecure", "--username", name, "--password", password)
    assert result.exit_code == 0, result.output
    assert "verdict   works" in result.stdout


def test_bench_says_in_text_what_went_up(server: TurnUnderTest) -> None:
    uri = f"turns:localhost:{server.tls_port}"
    load = ("--clients", "2", "--rate", "20", "--size", "1000", "--direction", "up")
    result = run("bench", uri, *logged_in(server), *load, "--duration", "500ms")
    assert result.exit_code == 0, result.output
    assert "clients  2 of 2" in result.stdout
    assert "load     20 packets/s of 1000 bytes each" in result.stdout
    assert "up       20 of 20 delivered, 0 lost (0.00%); median " in result.stdout
    assert "down" not in result.stdout


def test_bench_loses_nothing_on_loopback(server: TurnUnderTest) -> None:
    uri = f"turn:127.0.0.1:{server.port}"
    load = ("--clients", "5", "--rate", "50", "--duration", "2s")
    result = run("bench", uri, *logged_in(server), *load, "--json")
    assert result.exit_code == 0, result.output
    for flow in json.loads(result.stdout)["flows"].values():
        assert (flow["sent"], flow["lost"]) == (500, 0)


def test_secret_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    where = tmp_path_factory.mktemp("secret")
    words = ("--use-auth-secret", "--static-auth-secret", SECRET)
    with turn_server(where, *words, users=(), allow=WORLD, program="coturn") as server:
        uri = f"turn:127.0.0.1:{server.port}?transport=udp"
        assert run("check", uri, "--secret", SECRET).exit_code == 0
        wrong = run("check", uri, "--secret", "another")
    assert wrong.exit_code == 4
    assert "It holds another secret" in wrong.stdout
