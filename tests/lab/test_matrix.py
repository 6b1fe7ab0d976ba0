"""The matrix against the grid that was measured, and the command that shows it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from natkit.cli.main import main
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


def test_every_pair_takes_the_best_path_there_is():
    assert paths(Matrix()) == golden()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_pair_takes_the_best_path_with_a_tenth_lost(seed: int):
    assert paths(Matrix(loss=0.1, seed=seed)) == golden()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("root", "nft", "ip")
def test_linux_nats_give_the_same_grid_to_kinds_of_every_sort():
    """All 66 pairs take a minute and a half: natkit lab matrix --backend netns."""
    kinds = ("none", "full-cone", "port-restricted", "symmetric", "double", "udp-blocked")
    expected = dict(zip(Matrix().pairs, golden(), strict=True))
    linux = Matrix(kinds, backend="netns")
    assert paths(linux) == [expected[pair] for pair in linux.pairs]


def matrix(*args: str) -> Result:
    return CliRunner().invoke(main, ["lab", "matrix", *args])


def test_json_keeps_to_its_schema():
    result = matrix("--json", "--kinds", "full-cone,symmetric")
    document = json.loads(result.stdout)
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


def test_seed_changes_when_loss_strikes():
    def times(seed: str) -> str:
        return matrix("--kinds", "none,full-cone", "--loss", "30", "--seed", seed).stdout

    assert times("1") == times("1")
    assert len({times(seed) for seed in "12345"}) > 1


@pytest.mark.parametrize(
    "wrong",
    [("--kinds", "cone"), ("--kinds", "none,none"), ("--loss", "101"), ("--backend", "docker")],
)
def test_bad_input_is_a_usage_error(wrong: tuple[str, str]):
    assert matrix(*wrong).exit_code == 2
