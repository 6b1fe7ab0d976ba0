"""`natkit lab`: networks with NATs in them, simulated or real, to look at and to probe."""

from __future__ import annotations

from pathlib import Path

import click

from natkit.cli.common import FAILURE, FINE, Group, emit_json, json_option, typed
from natkit.cli.lab_text import describe, truth_as_json
from natkit.cli.params import NEW_FILE, SHARE, Number, write_new
from natkit.cli.render import Progress, table
from natkit.errors import UsageError
from natkit.lab.netns.rules import router_rules
from natkit.lab.scenarios import SCENARIOS, Scenario, scenario

PERCENT = Number(0, 100)


backend_option = click.option(
    "--backend",
    type=click.Choice(["sim", "netns"]),
    default="sim",
    show_default=True,
    help="A simulation on a clock that jumps, or real Linux NATs in network namespaces.",
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Of everything random."
)


@click.group(cls=Group)
def lab() -> None:
    """Build networks with NATs in them, simulated or real."""


@lab.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the scenarios: networks that people are really behind."""
    if as_json:
        scenarios = [_as_json(each) for each in SCENARIOS.values()]
        emit_json({"schema": "natkit.lab.list/1", "scenarios": scenarios})
        return
    headers = ("name", "map", "filter", "what it is")
    click.echo(table(headers, [_row(each) for each in SCENARIOS.values()]))
    click.echo("\nMapping and filtering as in RFC 4787: " + _LEGEND)
    click.echo("Draw one with `natkit lab show NAME`, probe it with `natkit lab probe NAME`.")


_SHORT = {
    None: "-",
    "endpoint-independent": "EI",
    "address-dependent": "AD",
    "address-and-port-dependent": "APD",
}
"""The values in full would leave an 80 column terminal no room for anything else."""

_LEGEND = "EI endpoint-independent,\nAD address-dependent, APD address-and-port-dependent."


def _row(each: Scenario) -> tuple[str, str, str, str]:
    truth = truth_as_json(each.truth)
    return (each.name, _SHORT[truth["mapping"]], _SHORT[truth["filtering"]], each.title)


def _as_json(each: Scenario) -> dict[str, object]:
    truth = truth_as_json(each.truth)
    return {"name": each.name, "title": each.title, "rfc3489": each.alias, "truth": truth}


@lab.command()
@click.argument("name")
@click.option("--rules", is_flag=True, help="Print the nftables rules of its routers instead.")
@click.option("--seed", type=int, default=0, help="Of the hashes in the rules.")
def show(name: str, rules: bool, seed: int) -> None:
    """Draw a scenario: its network, what its NATs do, and what a probe must find."""
    chosen = scenario(name)
    if not rules:
        click.echo(describe(chosen))
        return
    for router in chosen.topology.routers:
        text = router_rules(chosen.topology, router, seed=seed)
        click.echo(f"# router {router.name}\n{text}")


@lab.command()
@click.argument("name")
@backend_option
@seed_option
@click.option("--loss", type=SHARE, default="0%", help="Packets lost each way: 10% or 0.1.")
@click.option("--hairpin", is_flag=True, help="Also measure hairpinning.")
@click.option("--lifetime", is_flag=True, help="Also measure how long an idle mapping lives.")
@click.option("--fragments", is_flag=True, help="Also send packets too large for one frame.")
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Show the single observations.")
def probe(
    name: str,
    backend: str,
    seed: int,
    loss: float,
    hairpin: bool,
    lifetime: bool,
    fragments: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Probe a scenario from its host `alice`, and hold the result against the truth.

    Ends with 1 when the probe contradicts what the lab has built.
    """
    # Here because it brings the probe, the servers and a world: 100 ms that `list` need not pay.
    from natkit.cli.lab_probe import LabRun, as_document, as_text, disagreements

    run = LabRun(scenario(name).with_loss(loss), backend, seed, hairpin, lifetime, fragments)
    report = run.probe()
    wrong = disagreements(report, run.scenario.truth)
    if as_json:
        emit_json(as_document(run, report, wrong) | {"loss": loss})
    else:
        click.echo(as_text(run, report, wrong, verbose=verbose))
    return FAILURE if wrong else FINE


@lab.command()
@click.option("--kinds", default=None, metavar="A,B,...", help="Only these kinds of NAT.")
@backend_option
@seed_option
@click.option("--loss", type=PERCENT, default="0", help="Percent lost on each side, each way.")
@click.option(
    "--explain", nargs=2, metavar="A B", help="Call from A to B alone, and explain the path."
)
@click.option(
    "--engine",
    type=click.Choice(["natkit", "aioice"]),
    default="natkit",
    show_default=True,
    help="Whose ICE both sides run. aioice takes one TURN server: over UDP.",
)
@click.option(
    "--html",
    "page",
    type=NEW_FILE,
    metavar="FILE",
    help="Also write the grid as a page to look at.",
)
@json_option
def matrix(
    kinds: str | None,
    backend: str,
    seed: int,
    loss: float,
    explain: tuple[str, str] | None,
    engine: str,
    page: Path | None,
    as_json: bool,
) -> int:
    """Call from every kind of NAT to every other: direct, relayed, or failed, and how fast.

    Both sides run ICE with a STUN and a TURN server. Ends with 1 when a pair fails to connect.
    """
    # Here because it brings ICE, the servers and a world, which `list` need not pay for.
    from natkit.cli.lab_matrix import as_document, as_text, show_explained
    from natkit.cli.matrix_page import as_page
    from natkit.lab.matrix import Matrix, kinds_named

    if explain is not None:
        if unused := typed("kinds", "engine", "page"):
            what = f"--explain is one call with natkit's ICE; it has no use for {unused[0]}"
            raise UsageError(what, hint="Leave one of the two out")
        return show_explained(Matrix(explain, backend, loss / 100, seed), as_json=as_json)
    chosen = kinds_named(kinds)
    played = Matrix(chosen, backend, loss / 100, seed, engine)
    with Progress() as progress:
        cells = []
        for cell in played.cells():
            cells.append(cell)
            progress.say(f"{cell.a} and {cell.b}: {cell.path}")
    if as_json:
        emit_json(as_document(played, cells))
    else:
        click.echo(as_text(cells))
    if page is not None:
        write_new(page, as_page(played, cells))
    return FAILURE if any(cell.path == "failed" for cell in cells) else FINE
