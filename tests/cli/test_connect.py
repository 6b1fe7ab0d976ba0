"""`natkit connect` and `natkit rendezvous serve`: two processes, one code, what can go wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click import unstyle
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from natkit.cli.connect_text import ended, path_found
from natkit.cli.ice_text import pairs_table
from natkit.cli.main import main
from natkit.ice.candidate import TcpType
from tests.ports import free_port
from tests.tools.meeting import meet, wishes

pytestmark = pytest.mark.slow

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "schema" / "connect-1.json").read_text(encoding="utf-8")
)
UNKNOWN = "ocean-pilot-velvet-hammer"
QUICK = ("--interface", "lo", "--stun", "stun:127.0.0.1:9", "--count", "1")

Process = subprocess.Popen[str]


@contextmanager
def natkit(*words: str) -> Iterator[Process]:
    """Run natkit beside the test, and end it after."""
    with subprocess.Popen(
        [sys.executable, "-m", "natkit", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A rendezvous on loopback."""
    at = f"127.0.0.1:{free_port()}"
    with natkit("rendezvous", "serve", "--listen", at) as process:
        assert line(process) == f"ready: http://{at}"
        yield f"http://{at}"


def line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def rest(process: Process) -> tuple[str, str]:
    """Return what it says until it ends; `communicate` would lose what `line` has read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return said


def type_in(process: Process, text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def code_of(process: Process) -> str:
    return line(process).removeprefix("code: ")


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["connect", *QUICK, *words])


def test_two_processes_meet_by_a_code(url: str):
    with natkit("connect", *QUICK, "--rendezvous", url) as host:
        code = code_of(host)
        with natkit("connect", *QUICK, "--rendezvous", url, code) as guest:
            said = [rest(process) for process in (host, guest)]
            assert (host.returncode, guest.returncode) == (0, 0), said
    for out, _ in said:
        assert "path: direct, host " in out
        assert re.search(r"^pong 1 via (host|prflx) \S+:\d+ in [\d.]+ ms$", out, re.M)
        assert "1 sent, 1 answered, 0 % lost" in out
    assert f"natkit connect --rendezvous {url} {code}" in said[0][0]


def test_json_is_one_document_and_the_code_goes_to_stderr(url: str):
    with natkit("connect", *QUICK, "--rendezvous", url, "--json") as host:
        assert host.stderr is not None
        code = host.stderr.readline().removeprefix("code: ").strip()
        guest = run("--rendezvous", url, "--json", *code.split("-"))
        out, _ = rest(host)
    for document in (json.loads(out), json.loads(guest.stdout)):
        assert list(Draft202012Validator(SCHEMA).iter_errors(document)) == []
        assert document["path"] == "direct"
    assert guest.exit_code == 0


def test_two_paste_a_line_each():
    with (
        natkit("connect", *QUICK, "--manual") as one,
        natkit("connect", *QUICK, "--manual") as two,
    ):
        lines = []
        for process in (one, two):
            while not (text := line(process)).startswith("natkit1:"):
                pass
            lines.append(text)
        for process, theirs in ((one, lines[1]), (two, lines[0])):
            type_in(process, f"not this\n{theirs}\n")
        said = [rest(process) for process in (one, two)]
        assert (one.returncode, two.returncode) == (0, 0), said
    assert "does not begin with natkit1:" in said[0][1]
    assert "1 sent, 1 answered" in said[0][0]


def test_ctrl_c_ends_the_wait_at_once_and_the_code_with_it(url: str):
    with natkit("connect", *QUICK, "--rendezvous", url) as host:
        code = code_of(host)
        host.send_signal(signal.SIGINT)
        _, errors = rest(host)
    assert host.returncode == 130
    assert "Traceback" not in errors
    refused = run("--rendezvous", url, code)
    assert refused.exit_code == 4
    assert "nobody waits under this code" in refused.stderr


def test_ctrl_c_ends_the_wait_for_a_line_at_once():
    with natkit("connect", *QUICK, "--manual") as process:
        while not line(process).startswith("natkit1:"):
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert rest(process)[1].strip() == ""


def test_end_of_input_in_place_of_a_line_is_an_error():
    with natkit("connect", *QUICK, "--manual") as process:
        _, errors = process.communicate("", timeout=30)
    assert process.returncode == 2
    assert errors.startswith("error: no line came from the other side: ")
    assert errors.count("\n") == 2, errors  # the error, and what to do


@pytest.mark.parametrize(
    ("words", "exit_code", "sentence"),
    [
        (("oceen-pilot-velvet-hammer",), 2, "Did you mean ocean?"),
        (("hello",), 2, "a code has 4 words, this has 1"),
        (("--manual", UNKNOWN), 2, "--manual has one line each way"),
        (("--manual", "--until-direct"), 2, "--manual has one line each way"),
        (("--rendezvous", "ftp://x", UNKNOWN), 2, "is no rendezvous"),
        (("--policy", "relay"), 2, "needs a TURN server"),
        (("--until-direct", "--timeout", "21m"), 2, "--timeout 20m or less"),
        (("--count", "0"), 2, "--count"),
        (("--rendezvous", "http://127.0.0.1:9", UNKNOWN), 3, "cannot be reached"),
        (("--rendezvous", "http://127.0.0.1:9"), 3, "natkit rendezvous serve"),
    ],
    ids=str,
)
def test_what_goes_wrong_is_said_with_a_way_out(
    words: tuple[str, ...], exit_code: int, sentence: str
):
    result = run(*words)
    assert result.exit_code == exit_code, result.output
    assert sentence in result.stderr
    assert "hint: " in result.stderr


def test_an_unknown_code_ends_with_4_and_says_what_to_do(url: str):
    result = run("--rendezvous", url, UNKNOWN, "--json")
    assert result.exit_code == 4
    error = json.loads(result.stdout)["error"]
    assert error["what"] == "nobody waits under this code"
    assert "natkit connect" in error["hint"]


def test_without_a_rendezvous_one_runs_on_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NATKIT_CONNECT_COUNT", "1")
    with natkit("connect", *QUICK) as host:
        code = code_of(host)
        result = run(code)
        out, errors = rest(host)
    assert result.exit_code == host.returncode == 0, (result.output, out, errors)
    assert "on this machine alone: the rendezvous is http://127.0.0.1:7478," in out


# What is shown.


def test_the_report_of_a_relayed_call_shows_the_winner_first():
    report = meet("symmetric", "symmetric", wishes()).alice
    text = unstyle(path_found(report.ice))
    assert "path: relayed, relay 203.0.113.10:" in text
    rows = [row for row in unstyle(pairs_table(report.ice)).splitlines() if "203.0.113" in row]
    assert rows[0].startswith("→")
    assert not any(row.startswith("→") for row in rows[1:])
    assert "2 sent, 2 answered, 0 % lost; round trip 40.0 / 40.0 / 40.0 ms" in ended(report)


def test_the_report_of_a_call_says_why_it_is_this_path():
    report = meet("symmetric", "symmetric", wishes()).alice
    explained = unstyle(path_found(report.ice)).partition("\npath: relayed, ")[2]
    words = " ".join(explained.split())
    assert "This side and the peer talk over this side's relay at 203.0.113.10:" in words
    assert "this side's NAT gives every destination another port" in words
    assert report.to_json()["explanation"]["paragraph"] in words


def test_a_call_that_was_given_up_is_not_said_to_be_going_on():
    alice = meet("none", "udp-blocked", wishes(timeout=5.0)).alice
    assert alice.to_json()["explanation"]["kind"] == "undecided"
    assert "still looking" not in ended(alice)


def test_a_path_over_tcp_is_taken_where_both_offer_it_and_nothing_else_works():
    options = wishes(turn=(), tcp=(TcpType.ACTIVE, TcpType.PASSIVE))
    alice = meet("none", "udp-blocked", options).alice
    assert alice.path == "direct"
    assert "talk directly over TCP" in alice.to_json()["explanation"]["paragraph"]


def test_a_port_of_the_gateway_is_asked_for_when_it_is_wanted():
    plain, asking = (
        meet("port-restricted", "none", wishes(port_mapping=wanted)).alice.ice["inquiries"]
        for wanted in (False, True)
    )
    assert not [it for it in plain if it["kind"] == "gateway"]
    assert [it for it in asking if it["kind"] == "gateway"]


def test_options_for_candidates_reach_the_call(url: str):
    with natkit("connect", *QUICK, "--rendezvous", url, "--tcp", "passive", "--json") as host:
        assert host.stderr is not None
        code = host.stderr.readline().removeprefix("code: ").strip()
        guest = run("--rendezvous", url, "--json", "--tcp", "active", "--port-mapping", code)
        rest(host)
    ice = json.loads(guest.stdout)["ice"]
    assert {it["tcptype"] for it in ice["local"]} == {None, "active"}
    assert {it["tcptype"] for it in ice["remote"]} == {None, "passive"}
    assert [it for it in ice["inquiries"] if it["kind"] == "gateway"]


def test_live_table_shows_no_more_pairs_than_fit():
    report = meet("symmetric", "symmetric", wishes()).alice.ice
    assert len(report["pairs"]) > 2
    assert pairs_table(report, 2).splitlines()[-1] == f"  and {len(report['pairs']) - 2} more"


def test_a_failed_call_says_what_would_help():
    text = unstyle(ended(meet("none", "udp-blocked", wishes(timeout=5.0)).alice))
    assert "path: none" in text
    assert "no path: no path was found in 5 s. A relay would carry it (--turn" in text
