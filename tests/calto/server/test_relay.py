"""The relay inside `calto serve`: whom its logins let in, and until when."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator

import pytest

from calto_demo.server.ice_servers import LIFETIME, IceServers
from calto_demo.server.metrics import Metrics
from calto_demo.server.relay import Running, open_relay, own_address
from calto_demo.server.settings import Settings
from natkit.aio.network import SocketNetwork
from natkit.aio.turn_client import RelayedEndpoint
from natkit.aio.turn_failure import Server
from natkit.errors import AuthenticationFailed, NatkitError
from natkit.network import IcmpError
from natkit.turn.client_auth import Login
from natkit.wire import TransportAddress
from tests.ports import free_port

SECRET = "a secret of at least 32 characters"


class Deaf:
    def datagram_received(self, data: bytes, source: TransportAddress) -> None: ...

    def error_received(self, error: IcmpError) -> None: ...


@pytest.fixture
async def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def relay(metrics: Metrics) -> AsyncIterator[Running]:
    running = await open_relay(Settings(turn_port=free_port(2)), SECRET, metrics)
    yield running
    await running.relay.close()


def minted(relay: Running, at: float, secret: str = SECRET) -> Login:
    """Return the login that a user was given at a time."""
    given = IceServers(secret, relay.turn, lambda: at).mint("u-ada", "call", "127.0.0.1")
    turn = given["iceServers"][-1]
    return Login(turn["username"], turn["credential"])


async def allocated(relay: Running, login: Login) -> RelayedEndpoint:
    server = Server(relay.relay.listening[0].address)
    return await RelayedEndpoint.open(
        SocketNetwork(), server, login, Deaf(), randomness=secrets.token_bytes
    )


async def test_a_login_is_good_for_two_hours_and_a_stolen_one_not_after_that(relay: Running):
    now = time.time()
    endpoint = await allocated(relay, minted(relay, now - LIFETIME + 60))
    endpoint.close()
    with pytest.raises(AuthenticationFailed):
        await allocated(relay, minted(relay, now - LIFETIME - 1))


async def test_a_login_with_another_name_or_secret_lets_nobody_in(relay: Running):
    good = minted(relay, time.time())
    longer = Login(f"9{good.username}", good.password)
    for login in (longer, minted(relay, time.time(), "another secret of 32 characters!")):
        with pytest.raises(AuthenticationFailed):
            await allocated(relay, login)


async def test_the_relay_does_not_lead_to_what_else_listens_on_this_machine(relay: Running):
    endpoint = await allocated(relay, minted(relay, time.time()))
    with pytest.raises(NatkitError):
        await endpoint.open_channel(TransportAddress("127.0.0.1", 5432))
    endpoint.close()


async def test_clients_are_given_each_transport_and_two_ports_for_stun(relay: Running):
    port = relay.relay.listening[0].address.port
    assert relay.turn == (
        f"turn:{{host}}:{port}?transport=udp",
        f"turn:{{host}}:{port}?transport=tcp",
    )
    assert relay.stun == (f"stun:{{host}}:{port}", f"stun:{{host}}:{port + 1}")


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.7", "::1"])
def test_an_address_to_listen_on_is_the_one_to_relay_from(host: str):
    assert own_address(host) == host


def test_behind_a_wildcard_there_is_an_address_to_relay_from():
    assert own_address("0.0.0.0") not in ("0.0.0.0", "")
