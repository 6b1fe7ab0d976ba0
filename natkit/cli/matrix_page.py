"""What `natkit lab matrix --html` writes: the grid as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from natkit.cli.lab_matrix import grid, how, summary
from natkit.lab.matrix import Cell, Matrix

_MEANING = {
    "direct": "packets go from one to the other, through both NATs",
    "relayed": "a TURN server carries them",
    "failed": "no path was found",
}


def as_page(played: Matrix, cells: Sequence[Cell]) -> str:
    """Return an HTML document without references to anything outside of it."""
    body = "\n".join([*_head(played, cells), *_grid(cells), *_failures(cells)])
    return _DOCUMENT.format(style=_STYLE, body=body)


def _head(played: Matrix, cells: Sequence[Cell]) -> Iterator[str]:
    yield "<h1>Who reaches whom through which NAT</h1>"
    yield f"<p>{escape(summary(cells))} {escape(how(played))}</p>"
    yield '<ul class="legend">'
    for path, meaning in _MEANING.items():
        yield f'<li><span class="{path}">{_mark(path)}{path}</span> {meaning}</li>'
    yield "</ul>"
    yield "<p>The number is milliseconds, from both sides knowing all candidates until both can"
    yield "send.</p>"


def _grid(cells: Sequence[Cell]) -> Iterator[str]:
    kinds, found = grid(cells)
    yield '<div class="scroll" role="region" aria-label="The grid" tabindex="0"><table>'
    yield "<caption>Each kind of NAT against each</caption>"
    columns = "".join(f'<th scope="col"><span>{escape(kind)}</span></th>' for kind in kinds)
    yield f"<thead><tr><td></td>{columns}</tr></thead><tbody>"
    for a in kinds:
        row = "".join(_cell(found[a, b]) for b in kinds)
        yield f'<tr><th scope="row">{escape(a)}</th>{row}</tr>'
    yield "</tbody></table></div>"


def _cell(cell: Cell) -> str:
    time = "" if cell.connect_ms is None else f"<small>{cell.connect_ms} ms</small>"
    title = f"{cell.a} and {cell.b}: {cell.error or cell.path}"
    inside = f"{_mark(cell.path)}{cell.path}{time}"
    return f'<td class="{cell.path}" title="{escape(title)}">{inside}</td>'


def _failures(cells: Sequence[Cell]) -> Iterator[str]:
    why: dict[str, list[str]] = {}
    for cell in cells:
        if cell.path == "failed":
            why.setdefault(cell.error or "not known", []).append(f"{cell.a} and {cell.b}")
    if why:
        yield "<h2>Why calls failed</h2><dl>"
        for error, pairs in why.items():
            yield f"<dt>{escape(error)}</dt><dd>{escape(', '.join(pairs))}</dd>"
        yield "</dl>"


def _mark(path: str) -> str:
    """Return a small drawing of the path, which tells it to those who see no colours."""
    return f'<svg viewBox="0 0 24 8" aria-hidden="true">{_DRAWINGS[path]}</svg>'


_DRAWINGS = {
    "direct": '<path d="M2 4H22"/>',
    "relayed": '<path d="M2 7L12 2L22 7"/><circle cx="12" cy="2" r="1.6"/>',
    "failed": '<path d="M2 4H8M16 4H22M10 2L14 6M14 2L10 6"/>',
}

_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Who reaches whom through which NAT: natkit lab matrix</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { --page: #fbfbf9; --ink: #1d2521; --faint: #5b655f; --line: #dcdfdb;
  --direct: #d3efdb; --on-direct: #0c4a26; --relayed: #fbe7c2; --on-relayed: #643f00;
  --failed: #f8d0cb; --on-failed: #7d1410; }
@media (prefers-color-scheme: dark) { :root { --page: #141816; --ink: #e6ebe7; --faint: #9ca7a0;
  --line: #303733; --direct: #173d27; --on-direct: #b4ecc7; --relayed: #45330f;
  --on-relayed: #f9d793; --failed: #561c19; --on-failed: #ffc4bd; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { max-width: 46rem; margin: 0 0 .75rem; }
.legend { list-style: none; padding: 0; margin: 0 0 .75rem; }
.legend li { margin: .25rem 0; }
.legend span { display: inline-block; min-width: 5.5rem; padding: .1rem .5rem; margin-right: .4rem;
  border-radius: .25rem; }
svg { width: 1.5em; height: .5em; margin-right: .35em; fill: currentColor; stroke: currentColor;
  stroke-width: 1.5; }
svg path { fill: none; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
.scroll:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
table { border-collapse: separate; border-spacing: 2px; width: 100%; font-size: .82rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th { font-weight: 600; text-align: left; }
thead th { vertical-align: bottom; padding: .35rem .45rem; }
thead td, tbody th { position: sticky; left: 0; background: var(--page); }
tbody th { padding: .35rem .6rem; white-space: nowrap; }
tbody td { padding: .35rem .45rem; border-radius: .25rem; min-width: 4rem; }
tbody td svg { display: block; margin: 0 0 .1rem; }
small { display: block; font-size: .92em; font-variant-numeric: tabular-nums; opacity: .85; }
.direct { background: var(--direct); color: var(--on-direct); }
.relayed { background: var(--relayed); color: var(--on-relayed); }
.failed { background: var(--failed); color: var(--on-failed); font-weight: 600; }
dt { font-weight: 600; }
dd { margin: 0 0 .6rem; color: var(--faint); }
@media (max-width: 40rem) { tbody th { white-space: normal; min-width: 5.2rem; max-width: 6.5rem;
  overflow-wrap: break-word; padding: .35rem .4rem; } }
"""
