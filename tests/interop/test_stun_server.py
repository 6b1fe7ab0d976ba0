"""Other people's STUN clients against `natkit stun serve`, and RFC 5780 on `natkit turn serve`."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.test_stun import serving
from tests.cli.test_turn import serving as serving_turn
from tests.needs import SBIN
from tests.ports import free_port

pytestmark = pytest.mark.interop


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"PATH": f"/usr/bin:/bin:{SBIN}"},
    )


@pytest.fixture(scope="module", params=["stun serve", "turn serve"])
def port(request: pytest.FixtureRequest) -> Iterator[str]:
    """The main port of an RFC 5780 server on 127.0.0.1 and 127.0.0.2."""
    number = free_port()
    at = [f"{ip}:{number}" for ip in ("127.0.0.1", "127.0.0.2")]
    if request.param == "stun serve":
        words = [word for address in at for word in ("--listen", address)]
        server = serving(*words, "--rfc5780")
    else:
        words = [word for address in at for word in ("--listen", f"udp://{address}")]
        words += ["--alternate-port", str(number + 1), "--user", "alice:wonderland"]
        server = serving_turn(*words, "--metrics", "off")
    with server as (_, line):
        assert line.startswith("ready")
        yield str(number)


@pytest.fixture(scope="module")
def plain_port() -> Iterator[str]:
    """The port of a plain server."""
    number = free_port()
    with serving("--listen", f"127.0.0.1:{number}", "--listen", f"[::1]:{number}"):
        yield str(number)


@pytest.mark.needs("turnutils_stunclient")
def test_turnutils_stunclient_gets_three_rfc_5780_answers(port: str) -> None:
    result = run("turnutils_stunclient", "-p", port, "127.0.0.1")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("RFC 5780 response") == 3
    alternate = f"127.0.0.2:{int(port) + 1}"
    assert result.stdout.count(f"Response origin: : {alternate}") == 2
    assert "UDP reflexive addr: 127.0.0.1:" in result.stdout


@pytest.mark.needs("turnutils_stunclient", "ipv6")
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_turnutils_stunclient_is_content_with_a_minimal_answer(plain_port: str, ip: str) -> None:
    result = run("turnutils_stunclient", "-p", plain_port, ip)
    assert result.returncode == 0, result.stdout
    assert "UDP reflexive addr: " in result.stdout
    assert "RFC 5780" not in result.stdout


@pytest.mark.needs("turnutils_natdiscovery")
def test_turnutils_natdiscovery_finds_no_nat_and_no_filter(port: str) -> None:
    result = run("turnutils_natdiscovery", "-m", "-f", "-p", port, "-L", "127.0.0.1", "127.0.0.1")
    assert "No NAT! (Endpoint Independent Mapping)" in result.stdout
    assert "NAT with Endpoint Independent Filtering!" in result.stdout
    assert result.stdout.count("No ALG: Mapped == XOR-Mapped") == 4
    assert f"Response origin: : 127.0.0.2:{int(port) + 1}" in result.stdout


@pytest.mark.needs("turnutils_natdiscovery")
def test_turnutils_natdiscovery_gets_its_padding_back(port: str) -> None:
    result = run("turnutils_natdiscovery", "-m", "-P", "-p", port, "-L", "127.0.0.1", "127.0.0.1")
    assert "No NAT! (Endpoint Independent Mapping)" in result.stdout


@pytest.mark.needs("turnutils_natdiscovery")
def test_turnutils_natdiscovery_finds_hairpinning(port: str) -> None:
    result = run("turnutils_natdiscovery", "-H", "-p", port, "-L", "127.0.0.1", "127.0.0.1")
    assert "maybe a successful hairpinning" in result.stdout


@pytest.mark.needs("turnutils_natdiscovery")
def test_turnutils_natdiscovery_finds_no_collision(port: str) -> None:
    command = ("turnutils_natdiscovery", "-c", "-A", "127.0.0.3", "-p", port, "-L", "127.0.0.1")
    result = run(*command, "127.0.0.1")
    assert "UDP reflexive addr: 127.0.0.1:" in result.stdout
    assert "UDP reflexive addr: 127.0.0.3:" in result.stdout


@pytest.mark.needs("turnutils_natdiscovery")
def test_turnutils_natdiscovery_measures_lifetime_by_response_port(port: str) -> None:
    command = ("turnutils_natdiscovery", "-t", "-T", "1", "-p", port, "-L", "127.0.0.1")
    result = run(*command, "127.0.0.1")
    assert result.stdout.count("UDP reflexive addr: 127.0.0.1:") == 2, result.stdout


@pytest.mark.needs("stun")
def test_classic_rfc_3489_client_calls_the_network_open(port: str) -> None:
    result = run("stun", f"127.0.0.1:{port}")
    assert "Primary: Open" in result.stdout
    assert result.returncode == 1  # bit 0: no NAT; its exit code is its result


def test_pystun3_calls_the_network_open(port: str) -> None:
    stun = pytest.importorskip("stun")
    kind, ip, mapped = stun.get_ip_info(
        source_ip="127.0.0.1", source_port=free_port(), stun_host="127.0.0.1", stun_port=int(port)
    )
    assert (kind, ip) == (stun.OpenInternet, "127.0.0.1")
    assert mapped is not None


async def test_aioice_learns_its_address(plain_port: str) -> None:
    aioice = pytest.importorskip("aioice")
    connection = aioice.Connection(ice_controlling=True)
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: aioice.ice.StunProtocol(connection), local_addr=("127.0.0.1", 0)
    )
    request = aioice.stun.Message(
        message_method=aioice.stun.Method.BINDING, message_class=aioice.stun.Class.REQUEST
    )
    response, _ = await protocol.request(request, ("127.0.0.1", int(plain_port)))
    local = protocol.transport.get_extra_info("sockname")
    assert response.attributes["XOR-MAPPED-ADDRESS"] == local
    await protocol.close()
