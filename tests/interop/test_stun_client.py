"""Our STUN client against coturn."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from natkit.aio.driver import Driver
from natkit.aio.network import SocketNetwork
from natkit.network import Family
from natkit.stun.binding import BindingClient, BindingEvent, BindingSucceeded
from natkit.stun.uri import StunUri
from natkit.tools.stun import QueryReport, Trust, query
from natkit.wire import ChangeRequest, TransportAddress
from tests.needs import SBIN
from tests.ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.needs("turnserver")]


class Coturn(NamedTuple):
    """A running coturn on 127.0.0.1, 127.0.0.2 and ::1."""

    port: int
    tls_port: int
    ca_file: str


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    where = tmp_path_factory.mktemp("coturn")
    ca_file = _certificates(where)
    server = Coturn(free_port(), free_port(), ca_file)
    command = (
        *("turnserver", "-n", "--no-cli", "--log-file", "stdout"),
        *("-L", "127.0.0.1", "-L", "127.0.0.2", "-L", "::1"),
        *("-p", str(server.port), "--alt-listening-port", str(server.port + 1)),
        *("--tls-listening-port", str(server.tls_port), "--no-dtls"),
        *("--cert", str(where / "cert.pem"), "--pkey", str(where / "key.pem")),
        *("--pidfile", str(where / "pid"), "--userdb", str(where / "db")),
    )
    with (where / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={"PATH": f"/usr/bin:/bin:{SBIN}"}
        )
    try:
        _await_ready(process, where / "log")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _certificates(where: Path) -> str:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(where / "cert.pem"))
    issued.private_key_pem.write_to_path(str(where / "key.pem"))
    authority.cert_pem.write_to_path(str(where / "ca.pem"))
    return str(where / "ca.pem")


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until coturn has opened its last listener. Fails after 10 s."""
    for _ in range(200):
        text = log.read_text(errors="replace")
        if "IPv6. TLS/TCP listener opened" in text or "Total General servers" in text:
            return
        assert process.poll() is None, text
        time.sleep(0.05)
    pytest.fail(log.read_text(errors="replace"))


async def ask(uri: str, coturn: Coturn, family: Family = Family.IPV4) -> QueryReport:
    return await query(
        SocketNetwork(),
        StunUri.parse(uri),
        randomness=secrets.token_bytes,
        families=[family],
        patience=5.0,
        trust=Trust(ca_file=coturn.ca_file),
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("[::1]", marks=pytest.mark.needs("ipv6"))]
)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_coturn_tells_our_address(coturn: Coturn, host: str, transport: str) -> None:
    family = Family.IPV6 if ":" in host else Family.IPV4
    report = await ask(f"stun:{host}:{coturn.port}?transport={transport}", coturn, family)
    assert report.answer.mapped == report.local
    assert "Coturn" in (report.answer.software or "")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_coturn_tells_our_address_over_tls(coturn: Coturn, host: str) -> None:
    report = await ask(f"stuns:{host}:{coturn.tls_port}", coturn)
    assert report.answer.mapped == report.local


async def test_coturn_announces_its_other_address(coturn: Coturn) -> None:
    report = await ask(f"stun:127.0.0.1:{coturn.port}", coturn)
    assert report.answer.other_address == TransportAddress("127.0.0.2", coturn.port + 1)
    assert report.answer.response_origin == report.server


@pytest.mark.parametrize(
    ("ip", "port", "last"), [(False, True, 1), (True, False, 2), (True, True, 2)]
)
async def test_coturn_honours_change_request(
    coturn: Coturn, ip: bool, port: bool, last: int
) -> None:
    network = SocketNetwork()
    ended: list[BindingEvent] = []
    machine = BindingClient(lambda: secrets.token_bytes(12))
    driver = await Driver.open(network, machine, on_event=ended.append)
    server = TransportAddress("127.0.0.1", coturn.port)
    machine.ask(server, ChangeRequest(ip, port), now=network.now())
    driver.kick()
    while not ended:
        await network.sleep(0.01)
    driver.close()
    (event,) = ended
    assert isinstance(event, BindingSucceeded)
    assert event.source == TransportAddress(f"127.0.0.{last}", coturn.port + port)
