"""`natkit probe`: the screen, the JSON, the exit codes, and how it is broken off."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

import natkit.tools.probe
from natkit.cli.main import main
from natkit.cli.probe import watch
from natkit.cli.probe_text import render
from natkit.errors import NatkitError, NetworkUnreachable, UsageError
from natkit.tools.probe import ProbeReport
from tests.cli.test_stun import serving
from tests.ports import free_port
from tests.tools.test_probe import probed

QUICK = ("-4", "--timeout", "3s")
AGAIN = ("--every", "0.1s", "--jsonl")
RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module", autouse=True)
def silent_router() -> Iterator[None]:
    """Wait briefly for routers: on loopback there is none that could answer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(natkit.tools.probe, "SIDE_BUDGET", 0.1)
        yield


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["probe", *words])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """HOST:PORT of an RFC 5780 server with two loopback addresses."""
    port = free_port()
    words = ("--listen", f"127.0.0.1:{port}", "--listen", f"127.0.0.2:{port}", "--rfc5780")
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(*words))
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def screen(server: str) -> Result:
    """One probe of loopback, on a screen of 80 columns."""
    env = {"COLUMNS": "80"}
    return CliRunner().invoke(main, ["probe", "--server", server, *QUICK], env=env)


def test_the_verdict_comes_first(screen: Result) -> None:
    assert screen.exit_code == 0, screen.output
    lines = screen.stdout.splitlines()
    assert lines[0] == "direct calls: unknown"
    assert "private address 127.0.0.1" in screen.stdout
    assert any(re.match(r"  NAT +no  ", line) for line in lines)
    assert any(re.match(r"  mapping +endpoint-independent", line) for line in lines)


def test_silence_about_port_mapping_is_no_no() -> None:
    """In the lab, the router's ports are closed; a multicast search is just not answered."""
    row = next(
        r for r in render(probed("home"), verbose=False, width=100).splitlines() if "PCP" in r
    )
    assert "PCP no, NAT-PMP no, UPnP no answer" in click.unstyle(row)


def test_the_screen_fits_eighty_columns_and_one_page(screen: Result) -> None:
    lines = screen.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_progress_and_colour_never_reach_a_pipe(screen: Result) -> None:
    assert screen.stderr == ""
    assert "\x1b" not in screen.stdout


def test_a_requirement_that_is_not_met_ends_with_five_after_the_json(server: str) -> None:
    result = run("--server", server, *QUICK, "--require", "udp", "--require", "ipv6", "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert document["schema"] == "natkit.probe/1"
    assert re.fullmatch(RFC3339, document["at"])
    assert document["families"]["ipv4"]["mapping"]["value"] == "endpoint-independent"
    assert document["families"]["ipv4"]["lifetime"]["value"] is None
    assert "not met: ipv6:" in result.stderr


@pytest.mark.slow
def test_jsonl_is_one_line_for_each_probe(server: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "natkit", "probe", "--server", server, *QUICK, *AGAIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    documents = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert {d["schema"] for d in documents} == {"natkit.probe/1"}
    assert all(re.fullmatch(RFC3339, d["at"]) for d in documents)
    assert process.returncode == 130
    assert "Traceback" not in errors


class Journal:
    """Keeps what a watch tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, report: ProbeReport, at: str) -> None:
        self.lines.append(f"{at} {report.verdict.direct.value}")

    def complain(self, error: NatkitError, at: str) -> None:
        self.lines.append(f"{at} {error.what}")


def watched(*outcomes: ProbeReport | NatkitError) -> list[str]:
    """Watch until the outcomes are used up."""
    journal, ahead, clock = Journal(), list(outcomes), itertools.count()

    async def once() -> ProbeReport:
        if not ahead:
            raise asyncio.CancelledError
        outcome = ahead.pop(0)
        if isinstance(outcome, NatkitError):
            raise outcome
        return outcome

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(watch(once, journal, every=0, clock=lambda: f"{next(clock)}:"))
    return journal.lines


def test_a_network_that_goes_away_and_comes_back_does_not_end_a_watch() -> None:
    report, gone = probed("home"), NetworkUnreachable("no route")
    assert watched(gone, report, gone, gone, report) == [
        "0: no route",
        "1: most",
        "2: no route",
        "3: no route",
        "4: most",
    ]


def test_an_interface_may_vanish_during_a_watch_but_has_to_be_there_at_first() -> None:
    report, unknown = probed("home"), UsageError("no interface is called 'ppp0'")
    assert len(watched(report, unknown, report)) == 3
    with pytest.raises(UsageError, match="ppp0"):
        watched(unknown)


@pytest.mark.slow
def test_a_failure_during_a_watch_is_a_line_with_its_time(server: str) -> None:
    for words, pattern in (
        (("--jsonl",), rf'{{"at": "{RFC3339}", "error": {{"type": "NetworkUnreachable".*}}}}'),
        ((), rf"{RFC3339} error: no STUN server has an IPv6 address: .*"),
    ):
        probing = ("probe", "--server", server, "-6", "--every", "0.1s")
        process = subprocess.Popen(
            [sys.executable, "-m", "natkit", *probing, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert all(re.fullmatch(pattern, line) for line in lines), lines


@pytest.mark.slow
def test_the_screens_of_a_watch_bear_their_time(server: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "natkit", "probe", "--server", server, *QUICK, "--every", "9s"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first, second = (process.stdout.readline().rstrip() for _ in range(2))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert re.fullmatch(RFC3339, first)
    assert second.startswith("direct calls")


def test_redact_hides_where_the_user_is() -> None:
    from natkit.tools.report import redact, redactions

    report = probed("home")
    text = redact(render(report, verbose=True, width=100), redactions(report))
    assert "203.0.113.100" not in text
    assert "10.0.1." not in text
    assert "public-1" in text
    assert "private-1" in text
    assert "203.0.113.10:3478" in text


@pytest.mark.slow
def test_a_requirement_that_is_met_ends_with_zero(server: str) -> None:
    assert run("--server", server, *QUICK, "--require", "udp").exit_code == 0


def test_silence_ends_with_three_and_says_what_to_do() -> None:
    result = run("--server", f"127.0.0.1:{free_port()}", "-4", "--timeout", "0.3s")
    assert result.exit_code == 3
    assert "direct calls: unknown" in result.stdout
    assert "--server" in result.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-4", "-6"), "exclude each other"),
        (("--every", "1s", "--require", "udp"), "exclude each other"),
        (("--server", "a b"), "not a host"),
        (("--timeout", "soon"), "not a length of time"),
        (("--require", "luck"), "luck"),
        (("--interface", "nosuch0", "--server", "127.0.0.1"), "nosuch0"),
    ],
)
def test_wrong_usage_ends_with_two(words: tuple[str, ...], complaint: str) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_verbose_shows_the_single_observations() -> None:
    report = probed("home")
    short, long = (render(report, verbose=verbose, width=100) for verbose in (False, True))
    assert "local port" not in short
    assert "local port" in long
