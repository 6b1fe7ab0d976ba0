"""`natkit turn serve` and `natkit turn credentials`: what they say, refuse and end with."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from natkit.cli.main import main
from natkit.errors import UsageError
from natkit.tools.relay_config import read_config
from natkit.tools.relay_options import DEFAULT_METRICS, read_file
from natkit.turn.credentials import rest_password
from natkit.wire import Message, MessageClass, Method, XorMappedAddress
from tests.ports import free_port

LOOPBACK = ("--relay-address", "127.0.0.1", "--metrics", "off")
UDP = ("--listen", "udp://127.0.0.1:0")
ALICE = ("--user", "alice:wonderland")
TWO_UDP = (
    *("--listen", "udp://127.0.0.1:3478", "--listen", "udp://127.0.0.2:3478"),
    *("--alternate-port", "3479", *ALICE),
)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["turn", *words])


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `natkit turn serve` until the block ends; gives the process and its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "natkit", "turn", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate(timeout=10)


def port_in(uri: str) -> int:
    found = re.search(r":(\d+)\?", uri)
    assert found is not None, uri
    return int(found[1])


def binding(port: int) -> Message:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        request = Message(Method.BINDING, MessageClass.REQUEST, b"0123456789ab", ())
        sock.sendto(request.encode(), ("127.0.0.1", port))
        return Message.decode(sock.recv(2048))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    where = tmp_path_factory.mktemp("certificate")
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(where / "cert.pem"))
    issued.private_key_pem.write_to_path(str(where / "key.pem"))
    return where / "cert.pem", where / "key.pem"


def test_ready_line_names_every_uri(certificate: tuple[Path, Path]):
    listen = [f"{kind}://127.0.0.1:0" for kind in ("udp", "tcp", "tls")]
    words = [word for uri in listen for word in ("--listen", uri)]
    cert, key = map(str, certificate)
    with serving(*words, *ALICE, *LOOPBACK, "--tls-cert", cert, "--tls-key", key) as (_, ready):
        assert re.fullmatch(
            r"ready turn:127\.0\.0\.1:\d+\?transport=udp turn:127\.0\.0\.1:\d+\?transport=tcp "
            r"turns:127\.0\.0\.1:\d+\?transport=tcp\n",
            ready,
        )
        assert binding(port_in(ready)).find(XorMappedAddress) is not None


@POSIX
def test_sigterm_without_calls_ends_at_once_and_well():
    with serving(*UDP, *ALICE, *LOOPBACK) as (process, _):
        process.terminate()
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "draining allocations=0" in log


@POSIX
def test_sighup_reads_the_file_again_and_says_what_changed(tmp_path: Path):
    file = tmp_path / "turn.toml"
    file.write_text('user = ["alice:wonderland"]\nuser-quota = 3\n')
    with serving(*UDP, *LOOPBACK, "--config", str(file), "--log-format", "json") as (process, _):
        assert process.stderr is not None
        file.write_text('user = ["alice:wonderland", "bob:builder"]\nrelay-ports = "50000-50999"\n')
        process.send_signal(signal.SIGHUP)
        line = json.loads(process.stderr.readline())
        assert line["event"] == "reloaded"
        assert line["changed"] == (
            "users, --user-quota, --relay-ports changed, which needs a restart"
        )
        file.write_text("user = []\n")
        process.send_signal(signal.SIGHUP)
        line = json.loads(process.stderr.readline())
        assert line["event"] == "not reloaded"
        assert "nobody could relay" in line["why"]


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pages_for_who_watches():
    port = free_port()
    words = ("--relay-address", "127.0.0.1", "--metrics", f"127.0.0.1:{port}")
    with serving(*UDP, *ALICE, *words):
        assert fetch(port, "/healthz") == (200, "alive\n")
        assert fetch(port, "/readyz") == (200, "ready\n")
        assert fetch(port, "/elsewhere")[0] == 404
        status, metrics = fetch(port, "/metrics")
        assert status == 200
        assert 'natkit_turn_allocations{transport="udp"} 0.0' in metrics
        assert 'turn_total_allocations{type="UDP"} 0.0' in metrics  # coturn's name
        assert 'turn_traffic_rcvb{realm="natkit"} 0.0' in metrics


def test_metrics_are_for_this_machine_alone_by_default():
    assert ipaddress.ip_address(DEFAULT_METRICS.ip).is_loopback
    assert read_config({"user": "alice:wonderland"}).metrics.address == DEFAULT_METRICS


def test_default_metrics_port_that_is_taken_is_a_warning():
    with serving(*UDP, *ALICE, "--relay-address", "127.0.0.1") as (_, first):
        assert first.startswith("ready")
        with serving(*UDP, *ALICE, "--relay-address", "127.0.0.1") as (_, second):
            assert second.startswith("ready")


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ((*UDP, *LOOPBACK), "nobody could relay", "--user NAME:PASSWORD"),
        ((*UDP, *LOOPBACK, "--user", "alice"), "there is no password", "alice:wonderland"),
        (("--listen", "http://x", *ALICE), "cannot listen on 'http://x'", "Write udp, tcp"),
        (("--listen", "tls://127.0.0.1:0", *ALICE), "has no certificate", "--tls-cert"),
        ((*UDP, *ALICE, "--relay-ports", "9-1"), "'9-1' is no range of ports", "49152-65535"),
        ((*UDP, *ALICE, "--relay-address", "1.2.3.4=::1"), "cannot relay from", "10.0.0.5="),
        ((*UDP, *ALICE, "--relay-address", "198.51.100.9"), "does not have it", "LOCAL=198"),
        ((*UDP, *ALICE, "--allow-peer", "10.0.0.1/8"), "10.0.0.1/8 is no network", "CIDR"),
        (
            ("--listen", "udp://0.0.0.0:0", *ALICE, "--relay-address", "127.0.0.1"),
            "127.0.0.1 is private: peers outside cannot reach it",
            "127.0.0.1=203.0.113.7",
        ),
        (
            ("--listen", "udp://127.0.0.1:3478", *ALICE, "--alternate-port", "3479"),
            "takes two listening addresses of one IP version: over UDP there are: 127.0.0.1",
            "--listen udp://203.0.113.8:3478",
        ),
        ((*TWO_UDP, "--listen", "udp://127.0.0.3:3478"), "of each IP version", "two addresses"),
        ((*TWO_UDP, "--listen", "udp://127.0.0.3:53"), "one main port", "given: 53, 3478"),
        (
            (*TWO_UDP, *LOOPBACK, "--listen", "udp://10.0.0.5:3478"),
            "loopback address beside",
            "reaches both",
        ),
        (
            (*UDP, "--listen", "udp://127.0.0.2:0", *ALICE, "--alternate-port", "3479"),
            "--alternate-port needs a chosen main port",
            "Listen on 3478",
        ),
        (
            (*TWO_UDP, "--relay-address", "127.0.0.1=8.8.8.8"),
            "cannot use 127.0.0.2 beside 8.8.8.8: one is public",
            "--relay-address 127.0.0.2=203.0.113.8",
        ),
        ((*TWO_UDP, "--alternate-port", "3478"), "one or two of each port", "not: 3478, 3478"),
        ((*UDP, *ALICE, "--anycast", "127.0.0.1"), "anycast '127.0.0.1' is none", "198.51.100.1="),
        ((*UDP, *ALICE, "--anycast", "127.0.0.1=127.0.0.1"), "sent to where they are", "then this"),
        (
            (*UDP, *ALICE, "--anycast", "127.0.0.1=::1"),
            "one is IPv4 and the other IPv6",
            "then this",
        ),
        (
            (*UDP, *ALICE, "--anycast", "198.51.100.1=127.0.0.1"),
            "nobody comes to 198.51.100.1, which is anycast",
            "--listen udp://198.51.100.1:3478",
        ),
        (
            (*UDP, *ALICE, "--anycast", "127.0.0.1=127.0.0.2", "--relay-address", "127.0.0.1"),
            "cannot relay from 127.0.0.1, which is anycast",
            "--relay-address that is this server's own",
        ),
        (
            (*UDP, *ALICE, "--anycast", "127.0.0.1=127.0.0.2"),
            "every address to listen on is anycast",
            "Listen on this server's own",
        ),
        ((*UDP, *ALICE, "--metrics", "here"), "cannot serve metrics on 'here'", "127.0.0.1:9641"),
    ],
)
def test_what_cannot_work_is_refused_with_its_mend(words: tuple[str, ...], said: str, hint: str):
    ended = run("serve", "--check-config", *words)
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert hint in ended.stderr


def test_a_certificate_that_does_not_match_its_key_is_refused(
    certificate: tuple[Path, Path], tmp_path: Path
):
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(str(other))
    ended = run(
        "serve",
        "--check-config",
        *("--listen", "tls://127.0.0.1:0", *ALICE, *LOOPBACK),
        *("--tls-cert", str(certificate[0]), "--tls-key", str(other)),
    )
    assert ended.exit_code == 2
    assert "cannot use the certificate" in ended.stderr


def test_dtls_without_its_package_is_refused_before_anything_opens(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    ended = run(
        "serve",
        "--check-config",
        *("--listen", "dtls://127.0.0.1:0", *ALICE, *LOOPBACK),
        *("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])),
    )
    assert ended.exit_code == 2
    assert "DTLS needs pyOpenSSL" in ended.stderr
    assert "natkit[server]" in ended.stderr


def test_a_configuration_that_works_is_told_so():
    ended = run("serve", "--check-config", *UDP, *ALICE, *LOOPBACK)
    assert (ended.exit_code, ended.stdout) == (0, "This configuration works here.\n")


def test_a_port_that_browsers_refuse_is_a_warning():
    words = ("--listen", "udp://127.0.0.1:900", *ALICE, *LOOPBACK)
    ended = run("serve", "--check-config", *words)
    assert ended.exit_code == 0
    assert "browsers refuse TURN on port 900" in ended.stderr


@pytest.mark.parametrize(("secret", "warned"), [((), True), (("--secret", "shared"), False)])
def test_an_alternate_server_that_cannot_know_our_nonces_is_a_warning(
    secret: tuple[str, ...], warned: bool
):
    words = (*UDP, *ALICE, *LOOPBACK, "--alternate-server", "203.0.113.8:3478", *secret)
    ended = run("serve", "--check-config", *words)
    assert ended.exit_code == 0
    assert ("nonces of this server are stale there" in ended.stderr) is warned


@pytest.mark.parametrize("words", [("xdp:nope",), ("xdp",)])
def test_check_refuses_a_fast_path_that_would_not_start(words: tuple[str, ...]):
    ended = run("serve", "--check-config", *UDP, *ALICE, *LOOPBACK, "--fast-path", *words)
    assert ended.exit_code == 2
    assert "There are: " in ended.stderr or "leave --fast-path out" in ended.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((*UDP, "--max-bps", "1000"), "--max-bps limits every allocation"),
        ((*UDP, "--user-max-bps", "1000"), "--user-max-bps limits every allocation"),
        (("--listen", "tcp://127.0.0.1:0"), "there is no --listen udp://"),
    ],
)
def test_fast_path_that_nothing_can_take_is_a_warning(words: tuple[str, ...], why: str):
    ended = run("serve", "--check-config", *words, *ALICE, *LOOPBACK, "--fast-path", "auto")
    assert ended.exit_code == 0
    assert "no packet can take it" in ended.stderr
    assert why in ended.stderr
    quiet = run("serve", "--check-config", *words, *ALICE, *LOOPBACK)
    assert "--fast-path" not in quiet.stderr


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_bench_of_a_server_that_is_killed_in_mid_run_ends_with_3(transport: str):
    port = free_port()
    listen = ("--listen", f"{transport}://127.0.0.1:{port}")
    with serving(*listen, *ALICE, *LOOPBACK, "--allow-peer", "127.0.0.1") as (server, _):
        threading.Timer(1.0, server.kill).start()
        uri = f"turn:127.0.0.1:{port}?transport={transport}"
        login = ("--username", "alice", "--password", "wonderland")
        ended = run("bench", uri, *login, "--clients", "2", "--duration", "2s")
    assert ended.exit_code == 3
    assert "lost (" in ended.stdout
    assert "has stopped answering" in ended.stderr


def test_more_listeners_than_workers_can_be_given_are_refused():
    words = [word for n in range(1, 201) for word in ("--listen", f"udp://127.0.0.{n}:0")]
    ended = run("serve", "--check-config", *words, *ALICE, *LOOPBACK, "--workers", "64")
    assert ended.exit_code == 2
    assert "200 listeners are too many for 64 workers" in ended.stderr
    assert run("serve", "--check-config", *words, *ALICE, *LOOPBACK).exit_code == 0


def test_flags_go_before_the_file(tmp_path: Path):
    file = tmp_path / "turn.toml"
    file.write_text('listen = ["tls://127.0.0.1:0"]\nuser = ["alice:wonderland"]\n')
    assert run("serve", "--check-config", "--config", str(file), *LOOPBACK).exit_code == 2
    assert run("serve", "--check-config", "--config", str(file), *LOOPBACK, *UDP).exit_code == 0


def test_an_option_is_taken_from_the_first_file_that_has_it(tmp_path: Path):
    own, shared = tmp_path / "own.toml", tmp_path / "shared.toml"
    own.write_text('realm = ""\n')
    shared.write_text('realm = "example.org"\nuser = ["alice:wonderland"]\n')
    words = ("serve", "--check-config", *UDP, *LOOPBACK)
    assert "the realm is empty" in run(*words, "--config", str(own), "--config", str(shared)).stderr
    assert run(*words, "--config", str(shared), "--config", str(own)).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("users = []", "there is no option 'users'"),
        ("user = {alice = 1}", "user must be a list of texts"),
        ("user = [1]", "user must be a list of texts"),
        ('user = "a:b"', """Write user = ["a:b"]"""),
        ("realm = 5", "realm must be a text"),
        ("drain-time = 5", 'Write drain-time = "30s"'),
        ('user-quota = "3"', "user-quota must be a number"),
        ("max-bps = true", "max-bps must be a number"),
        ("max-bps = 1.5", "max-bps must be a number"),
        ("= 1", "cannot use the configuration"),
        ('realm = ["a", "b"]', "realm must be a text"),
        ("alternate-port = 65536", "alternate-port '65536' is no port"),
        ("user-quota = 0", "user-quota '0' is no number above 0"),
        ('alternate-server = ["turn.example.org:3478"]', "takes no name"),
        ('alternate-server = ["9.9.9.9:1", "8.8.8.8:1"]', "two addresses of one IP version"),
        ('secret = [""]', "a secret is empty"),
        ('secret = ["good", " "]', "a secret is empty"),
        ('secret = ["change-me: openssl rand -hex 32"]', "is that of the example"),
        ('realm = ""', "the realm is empty"),
        ('workers = "many"', "workers must be a number"),
        ("workers = 0", "workers '0' is no number above 0"),
        ("workers = 65", "65 workers are too many"),
        ('user = ["a:b"]\nworkers = 4\nrelay-ports = "50000-50006"', "7, too few for 4 workers"),
        ('drain-time = "soon"', "drain-time 'soon' is no length of time"),
        ('drain-time = "nan"', "drain-time 'nan' is no length of time"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, content: str, said: str):
    file = tmp_path / "turn.toml"
    file.write_text(content)
    ended = run("serve", "--check-config", "--config", str(file), *UDP)
    assert ended.exit_code == 2
    assert said in ended.stderr


def test_credentials_are_what_a_server_with_the_secret_takes():
    ended = run("credentials", "--secret", "s", "--user", "alice", "--ttl", "1h", "--json")
    minted = json.loads(ended.stdout)
    assert minted["username"].endswith(":alice")
    assert minted["password"] == rest_password("s", minted["username"])
    assert minted["ttl"] == 3600


PACKAGING = Path(__file__).parent.parent.parent / "packaging"


def test_the_example_configuration_makes_sense_once_it_has_a_secret_of_its_own(tmp_path: Path):
    example = (PACKAGING / "turn.toml").read_text()
    file = tmp_path / "turn.toml"
    file.write_text(example)
    with pytest.raises(UsageError, match="that of the example"):
        read_config(read_file(file))
    file.write_text(re.sub("secret = .*", 'secret = ["0123456789abcdef"]', example))
    config = read_config(read_file(file))
    assert config.realm == "example.org"
    assert len(config.listen) == 4


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_sandboxed_and_valid():
    unit = PACKAGING / "natkit-turn.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in done.stderr, done.stderr


@POSIX
@pytest.mark.needs("bash")
@pytest.mark.parametrize("limit", [13, 15])
def test_limit_on_descriptors_that_is_too_low_to_serve_is_said(limit: int) -> None:
    """At the first socket that is tried, and later."""
    words = ["-m", "natkit", "turn", "serve", *UDP, *LOOPBACK, *ALICE]
    done = subprocess.run(
        ["bash", "-c", f'ulimit -n {limit}; exec "$0" "$@"', sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "natkit may not open as many files and sockets as this takes" in done.stderr
    assert "has a bug" not in done.stderr
