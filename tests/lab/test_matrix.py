"""The matrix against the grid that was measured, and the command that shows it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import aioice.ice
import jsonschema
import pytest
from click.testing import CliRunner, Result

from natkit.cli.main import main
from natkit.errors import Unsupported
from natkit.lab.homes import HOMES
from natkit.lab.matrix import Matrix
from natkit.tools.path_side import known
from tests.tools.path_grid import probed

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "matrix-1.json"

GRID = """
DDDDDDDDDDR
 DDDDDDDDDR
  DDDDDDDDR
   DRRRDRDR
    RRRDRRR
     RRDRRR
      RDRRR
       DDDR
        RRR
         DR
          R
"""
"""In the order of HOMES; the eight NATs as packets through Linux and simulated ones measured it."""


def golden() -> list[str]:
    return [{"D": "direct", "R": "relayed"}[letter] for letter in "".join(GRID.split())]


def paths(matrix: Matrix) -> list[str]:
    return [cell.path for cell in matrix.cells()]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 0.1], ids=["clean", "lossy"])
def test_every_pair_takes_the_best_path_there_is(loss: float):
    assert paths(Matrix(loss=loss)) == golden()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_every_pair_takes_the_best_path_with_a_tenth_lost(seed: int):
    """Of seeds 0 to 109 one, 11, loses four of bob's checks in a row and stays relayed."""
    assert paths(Matrix(loss=0.1, seed=seed)) == golden()


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_linux_nats_give_the_same_grid():
    assert paths(Matrix(backend="netns")) == golden()


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_linux_nats_give_the_same_grid_with_a_tenth_lost():
    """The kernel's dice have no seed, so what bad luck has kept from being direct is played again:
    up to one call of a hundred, where one side's checks alone can open the path. None may fail.
    """
    best = dict(zip(Matrix().pairs, golden(), strict=True))
    first = list(Matrix(loss=0.1, backend="netns").cells())
    assert [cell for cell in first if cell.path == "failed"] == []
    unlucky = [(cell.a, cell.b) for cell in first if cell.path != best[cell.a, cell.b]]
    assert [pair for pair in unlucky if best[pair] != "direct"] == []
    for pair in unlucky:
        again = Matrix(tuple(dict.fromkeys(pair)), loss=0.1, backend="netns").cells()
        assert {(cell.a, cell.b): cell.path for cell in again}[pair] == "direct"


FEW = ("none", "port-restricted", "symmetric", "udp-blocked")
AIOICES = """
DDDF
 DRF
  RF
   F
"""
"""Its one TURN server is asked over UDP."""


def aioices() -> list[str]:
    return [{"D": "direct", "R": "relayed", "F": "failed"}[it] for it in "".join(AIOICES.split())]


def test_aioice_reaches_all_but_those_without_udp():
    own = aioice.ice.get_host_addresses
    cells = list(Matrix(FEW, engine="aioice").cells())
    assert [cell.path for cell in cells] == aioices()
    assert cells[-1].error == "no call within 60 s; candidates of alice: host; of bob: host"
    assert aioice.ice.get_host_addresses is own


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
def test_aioice_calls_through_linux_nats():
    """Without delay on the links chance decides which of several paths it takes."""
    found = paths(Matrix(FEW[:3], backend="netns", engine="aioice"))
    assert "failed" not in found
    assert (found[0], found[-1]) == ("direct", "relayed")


def test_without_aioice_its_matrix_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "aioice", None)
    with pytest.raises(Unsupported, match=r"natkit\[calls\]"):
        paths(Matrix(engine="aioice"))


def matrix(*args: str) -> Result:
    return CliRunner().invoke(main, ["lab", "matrix", *args])


def test_json_keeps_to_its_schema():
    result = matrix("--json", "--kinds", "full-cone,symmetric", "--loss", "20", "--seed", "3")
    document = json.loads(result.stdout)
    assert (document["engine"], document["backend"]) == ("natkit", "sim")
    assert (document["loss"], document["seed"]) == (0.2, 3)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert [cell["path"] for cell in document["cells"]] == ["direct", "direct", "relayed"]


def test_every_cell_explains_its_path():
    document = json.loads(matrix("--json", "--kinds", "full-cone,symmetric").stdout)
    explained = [cell["explanation"] for cell in document["cells"]]
    assert [it["kind"] for it in explained] == ["direct-through-nat"] * 2 + ["relayed"]
    assert "gives every destination another port and filters by port" in explained[2]["paragraph"]


def test_call_is_explained_from_the_side_that_is_named_first():
    a, b = "port-restricted", "symmetric"
    assert matrix("--explain", a, b).stdout.startswith(f"A: {a}, B: {b}\n\nA and B talk over ")
    explanation = json.loads(matrix("--explain", b, a, "--json").stdout)
    assert explanation["schema"] == "natkit.path/1"
    through_nat = explanation["missed"][-1]["faults"]
    assert [f"{it['side']}: {it['cause']}" for it in through_nat] == [
        "local: port-per-destination",
        "local: port-filter",
        "remote: port-filter",
    ]


def test_failed_call_is_explained_and_ends_with_1():
    result = matrix("--explain", "none", "none", "--loss", "100")
    assert result.exit_code == 1
    assert "A and B found no path." in result.stdout


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("root", "nft", "ip")
def test_linux_nats_are_explained_alike():
    def causes(backend: str) -> list[list[str]]:
        result = matrix("--explain", "port-restricted", "symmetric", "--json", "--backend", backend)
        missed = json.loads(result.stdout)["missed"]
        return [[it["kind"], *(fault["cause"] for fault in it["faults"])] for it in missed]

    assert causes("netns") == causes("sim")


def test_what_a_home_does_is_what_a_probe_finds_there():
    for kind, home in HOMES.items():
        assert known(probed(kind)).behaviour == home.behaviour, kind


def test_schema_knows_every_kind():
    assert json.loads(SCHEMA.read_text())["$defs"]["kind"]["enum"] == list(HOMES)


@pytest.mark.slow
def test_grid_fits_a_terminal():
    result = matrix()
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "66 pairs: 37 direct, 29 relayed, 0 failed." in result.stdout


def test_all_lost_is_a_failed_call_and_exit_code_1():
    result = matrix("--json", "--kinds", "none", "--loss", "100")
    (cell,) = json.loads(result.stdout)["cells"]
    assert (cell["path"], cell["connect_ms"], result.exit_code) == ("failed", None, 1)
    assert cell["explanation"]["kind"] == "failed"
    why = "ICE negotiation failed; candidates of alice: host; of bob: host"
    assert cell["error"] == why
    assert f"none and none failed: {why}" in matrix("--kinds", "none", "--loss", "100").stdout


def test_seed_changes_when_loss_strikes():
    def times(seed: str) -> str:
        return matrix("--kinds", "none,full-cone", "--loss", "30", "--seed", seed).stdout

    assert times("1") == times("1")
    assert len({times(seed) for seed in "12345"}) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        ("--kinds", "cone"),
        ("--kinds", "none,none"),
        ("--loss", "101"),
        ("--backend", "docker"),
        ("--explain", "none", "cone"),
        ("--engine", "pion"),
        ("--html", "/"),
        ("--html", "/nowhere/at/all.html"),
    ],
)
def test_bad_input_is_a_usage_error(wrong: tuple[str, ...]):
    assert matrix(*wrong).exit_code == 2
