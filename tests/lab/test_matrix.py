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


@pytest.mark.parametrize("loss", [0.0, 0.1], ids=["clean", "lossy"])
def test_every_pair_takes_the_best_path_there_is(loss: float):
    assert paths(Matrix(loss=loss)) == golden()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_every_pair_takes_the_best_path_with_a_tenth_lost(seed: int):
    """Of seeds 0 to 59 two, 11 and 56, lose three of bob's checks in a row and stay relayed."""
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


def test_schema_knows_every_kind():
    assert json.loads(SCHEMA.read_text())["$defs"]["kind"]["enum"] == list(HOMES)


def test_grid_fits_a_terminal():
    result = matrix()
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "66 pairs: 37 direct, 29 relayed, 0 failed." in result.stdout


def test_all_lost_is_a_failed_call_and_exit_code_1():
    result = matrix("--json", "--kinds", "none", "--loss", "100")
    (cell,) = json.loads(result.stdout)["cells"]
    assert (cell["path"], cell["connect_ms"], result.exit_code) == ("failed", None, 1)
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
        ("--engine", "pion"),
        ("--html", "/"),
        ("--html", "/nowhere/at/all.html"),
    ],
)
def test_bad_input_is_a_usage_error(wrong: tuple[str, str]):
    assert matrix(*wrong).exit_code == 2
