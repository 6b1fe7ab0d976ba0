"""The relay benchmark: its generator, what it keeps, how it judges, and everybody for a moment."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.benchmarks import relay
from scripts.benchmarks._relay_acceptance import LOSES, _onset, verdicts
from scripts.benchmarks._relay_cells import LIMIT, Cell, Load, Run, Store
from scripts.benchmarks._relay_contenders import COTURN, FORWARDING, KERNEL, NAMES, SERVERS
from scripts.benchmarks._relay_matrix import QUICK_CALLS, USUAL, Field, OutOfTime
from scripts.benchmarks._relay_page import refreshed
from scripts.benchmarks._relay_plot import picture

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="sendmmsg is Linux'")
DOCS = Path(__file__).parent.parent / "docs"


def cell(contender: str, load: Load = USUAL, **other: float) -> Cell:
    usual = Cell(contender, load, 100, 100, 1e4, 1e4, 0.0, 5.0, 9.0, 3.0, 40.0, 90.0, 9, 8, None)
    return usual._replace(**other)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for end in (one, other):
            end.bind(("127.0.0.1", 0))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 1000))
        yield one, other


@LINUX
def test_an_outbox_sends_to_its_ways_in_turn_from_the_sources_they_name(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    from scripts.benchmarks._relay_mmsg import Outbox, Way

    sender, receiver = pair
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to = receiver.getsockname()
    ways = [Way(f"127.0.9.{number}", *to) for number in (1, 2, 3)]
    before = time.monotonic_ns()
    with sender:
        assert Outbox(sender, ways, b"head", 20).send(5) == 5
    lot = [receiver.recvfrom(100) for _ in range(5)]
    assert [source[0][-1] for _, source in lot] == list("12312")
    for data, _ in lot:
        head, stamp, rest = struct.unpack("=4sq12s", data)
        assert (head, rest) == (b"head", bytes(12))
        assert before <= stamp <= time.monotonic_ns()


@LINUX
def test_an_inbox_gives_stamps_and_counts_no_datagram_of_another_size(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    from scripts.benchmarks._relay_mmsg import Inbox

    sender, receiver = pair
    inbox = Inbox(receiver, header=4, size=20)
    for stamp, rest in ((1, 12), (2, 11), (3, 12), (4, 13)):
        sender.sendto(b"head" + struct.pack("=q", stamp) + bytes(rest), receiver.getsockname())
    assert inbox.receive() == [1, 3]
    assert inbox.receive() == []


@LINUX
def test_what_was_sent_arrives_and_a_load_of_before_does_not_count(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    from scripts.benchmarks._relay_generator import Flow, generator
    from scripts.benchmarks._relay_mmsg import Way

    clients, peers = pair
    late = struct.pack("=q", time.monotonic_ns()) + bytes(92)
    clients.sendto(late, peers.getsockname())
    up = Flow(True, [Way("", *peers.getsockname())], b"", 100, 0)
    down = Flow(False, [Way("", *clients.getsockname())], b"", 100, 0)
    with generator(clients, peers) as load:
        outcome = load.send([up, down], 1000, 0.2)
    assert 0 < outcome.count == outcome.sent.count <= 200
    assert 0 < outcome.latency(0.5) <= outcome.latency(0.99)


def test_cells_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.json")
    run = Run({"cpus": 2}, {COTURN: "coturn 4"}, [1.0], [cell(COTURN), cell(KERNEL)])
    run.search, run.onset = [cell(COTURN)], {COTURN: 9}
    store.runs["full"] = run
    store.save()
    assert Store(tmp_path / "kept.json").runs == {"full": run}
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_resuming_measures_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(run: Run, kept: object, until: float) -> None:
        run.cells.append(cell(NAMES[len(run.cells)]))

    monkeypatch.setattr(relay, "PRESETS", {"full": (measure, 1)})
    monkeypatch.setattr(relay, "others_busy", lambda: 0.0)
    monkeypatch.setattr(relay, "versions", dict)
    words = ["--file", str(tmp_path / "kept.json"), "--json"]
    for more, count in (([], 1), (["--resume"], 2), ([], 1)):
        relay.command([*words, *more])
        assert len(Store(tmp_path / "kept.json").runs["full"].cells) == count


class Losing:
    """A contender that loses one packet in a hundred from a rate on, and once by bad luck."""

    def __init__(self, begins: int, unlucky: int = 0, most: int = 10**6) -> None:
        self.begins, self.unlucky, self.most = begins, unlucky, most

    def measure(self, generator: object, load: Load, duration: float) -> Cell:
        lossy = load.rate >= self.begins
        if load.rate >= self.unlucky > 0:
            lossy, self.unlucky = True, 0
        return cell(COTURN, load, lost=LOSES * 2 * lossy, offered=min(load.rate, self.most))


@pytest.mark.parametrize(
    ("contender", "least"),
    [
        (Losing(50_000), 50_000),
        (Losing(50_000, unlucky=30_000), 50_000),
        (Losing(50_000, most=30_000), None),
    ],
)
def test_the_rate_at_which_a_server_starts_to_lose_is_found(
    contender: Losing, least: int | None
) -> None:
    field = Field({COTURN: contender}, None, Run(), lambda: None, time.monotonic() + 60, Quiet())
    found = _onset(field, COTURN)
    if least is None:
        assert found is None
    else:
        assert found is not None
        assert least <= found < least * 1.2


class Named:
    """A contender that says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def measure(self, generator: object, load: Load, duration: float) -> Cell:
        return cell(self.name, load)


class Quiet:
    def say(self, text: str) -> None:
        """Say nothing."""


def test_contenders_take_turns_there_and_back_and_what_was_measured_is_left_out() -> None:
    run = Run(cells=[cell(COTURN)])
    contenders = {name: Named(name) for name in (KERNEL, COTURN)}
    field = Field(contenders, None, run, lambda: None, float("inf"), Quiet())
    for number in range(3):
        field.round((KERNEL, COTURN), USUAL, 0.1, number=number)
    order = [one.contender for one in run.cells[1:]]
    assert order == [KERNEL, COTURN, KERNEL, KERNEL, COTURN]


def test_when_the_time_is_over_nothing_more_is_measured() -> None:
    run = Run()
    field = Field({COTURN: Losing(0)}, None, run, lambda: None, time.monotonic() - 1, Quiet())
    with pytest.raises(OutOfTime):
        field.measure(COTURN, USUAL, 0.1)
    assert run.cells == []


def test_a_plane_is_judged_by_medians_and_only_where_both_were_measured() -> None:
    limit = USUAL._replace(rate=LIMIT)
    run = Run(onset={COTURN: 90_000})
    at = USUAL._replace(rate=90_000)
    run.cells = [
        *(cell(KERNEL, at, p99_us=p99, server_us=0.01) for p99 in (10, 20, 900)),
        cell(COTURN, at, p99_us=61, lost=0.2),
        cell(KERNEL, limit, delivered=80, sender_us=5),
        cell(FORWARDING, limit, delivered=100, sender_us=4.5),
    ]
    judged = {one.what: one for one in verdicts(run)}
    goods = [one.good for one in judged.values()]
    assert goods == [None, True, True, True, False, True, *[None] * 12]
    found = [one.found for one in judged.values()]
    assert found[1].startswith("0 % (coturn: 0.2 %)")
    assert found[3].startswith("32.8 %")
    assert found[4].startswith("80 %")
    assert found[5].startswith("90 %")


def test_a_document_gets_the_numbers_where_it_asks_for_them() -> None:
    run = Run(cells=[cell(COTURN), cell(COTURN, USUAL._replace(calls=1), delivered=12_345)])
    text = "before\n<!-- measured: across calls delivered 20000 -->\nold\n<!-- end -->\nafter\n"
    new = refreshed(text, {"full": run})
    assert "| coturn | 12,300 | 10,000 | – | – |" in new
    assert "old" not in new
    assert new.startswith("before\n")
    assert refreshed(new, {"full": run}) == new


def test_the_picture_is_xml_with_a_bar_for_everybody() -> None:
    drawn = ElementTree.fromstring(picture(Run(cells=[cell(COTURN)])))
    bars = drawn.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 3 * len(NAMES)


def test_the_page_holds_what_the_file_holds() -> None:
    runs = Store(DOCS / "performance.json").runs
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    mend = "stale: scripts/bench relay --write docs/performance.md"
    assert refreshed(page, runs) == page, mend
    assert (DOCS / relay.PICTURE).read_text(encoding="utf-8") == picture(runs.get("full", Run())), (
        mend
    )


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.interop
@pytest.mark.needs("root", "ip", "turnserver")
def test_everybody_is_measured_and_no_packet_is_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay.command(["--quick", "--json", "--file", str(tmp_path / "kept.json")])
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "kept.json").read_text())
    run = Store(tmp_path / "kept.json").runs["quick"]
    assert [cell.contender for cell in run.cells] == [*NAMES, *NAMES]
    for one in run.cells:
        assert one.load.calls == QUICK_CALLS
        assert 0 < one.arrived <= one.sent
        assert (one.server_us is not None) == (one.contender in SERVERS)
        assert one.p50_us is not None
        assert one.p99_us is not None
        assert 0 < one.p50_us <= one.p99_us
        if one.contender == KERNEL:
            assert one.in_kernel > 90  # one packet of each way goes up every few seconds
