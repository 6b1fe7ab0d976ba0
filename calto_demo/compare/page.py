"""A comparison as one HTML file that needs nothing else: light and dark, desk and phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape

from click import unstyle

from calto_demo.compare.charts import QUANTITIES, lines, timeline, way
from calto_demo.compare.result import Comparison, Leg
from calto_demo.compare.text import ROWS, carried, cost
from calto_demo.compare.words import died_words

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f5f6f8; --ink: #16191d; --soft: #59616b;
  --rule: #cfd4da; --direct: #0b62c4; --relay: #b35400; --failed: #c0182b; }
@media (prefers-color-scheme: dark) { :root { --ground: #101317; --card: #1a1f25; --ink: #e9edf1;
  --soft: #a3acb7; --rule: #3a424c; --direct: #6cb2ff; --relay: #ffa24d; --failed: #ff7b86; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
.soft { color: var(--soft); } .verdict { font-size: 1.1rem; }
.cards { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem;
  padding: .8rem; min-width: 0; }
.narrow { max-width: 34rem; }
.card p, .card ul { margin: .5rem 0 0; } .card li { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; min-width: 5rem; vertical-align: top;
  font-variant-numeric: tabular-nums; }
tbody th { font-weight: normal; color: var(--soft); }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { fill: var(--ink); font-size: 12px; } svg .soft { fill: var(--soft); }
svg .strong { font-weight: 600; } svg .small { font-size: 10.5px; fill: var(--soft); }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
.axis { fill: none; stroke: var(--rule); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.direct { stroke: var(--direct); } .line.relay { stroke: var(--relay); stroke-dasharray: 6 3; }
.line.failed { stroke: var(--failed); stroke-dasharray: 2 5; }
.cross { stroke: var(--failed); stroke-width: 3; fill: none; }
rect.direct { fill: var(--direct); } rect.relay { fill: var(--relay); }
rect.box { fill: var(--ground); stroke: var(--ink); }
.key::before { content: ""; display: inline-block; width: 1.6em; margin-right: .4em;
  vertical-align: middle; border-top: 3px solid var(--direct); }
.key.relay::before { border-top: 3px dashed var(--relay); } .key { margin-right: 1.2em; }
"""


def as_page(found: Comparison) -> str:
    """Return the page."""
    document = json.dumps(found.as_json(), ensure_ascii=False).replace("<", "\\u003c")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<title>calto compare: direct or through the relay</title>",
            f"<style>{STYLE}</style></head><body>",
            "<h1>The same call, directly and through the relay</h1>",
            f'<p class="verdict">{escape(found.verdict)}</p>',
            f'<p class="soft">{escape(found.where)}; {found.seconds:g} s of audio each.</p>',
            '<div class="cards">',
            *_card("Direct", found.direct),
            *_card("Through the relay", found.relay),
            "</div>",
            *_charts(found),
            *_table(found),
            f'<script type="application/json" id="calto-compare">{document}</script>',
            "</body></html>",
            "",
        ]
    )


def _card(title: str, leg: Leg) -> Iterator[str]:
    outcome = "no way" if leg.path == "failed" else "works"
    yield f'<section class="card"><h3>{title}: {outcome}</h3>'
    yield way(leg)
    yield f"<p>{escape(leg.explanation)}</p>"
    if leg.path == "failed" and leg.drops:
        yield "<ul>"
        yield from (f"<li>{escape(sentence)}</li>" for sentence in died_words(leg.drops))
        yield "</ul>"
    yield "</section>"


def _charts(found: Comparison) -> Iterator[str]:
    legs = found.direct, found.relay
    yield '<h2>Set-up</h2><p><span class="key">direct</span>'
    yield '<span class="key relay">through the relay</span></p>'
    yield f'<div class="card narrow">{timeline(legs)}</div>'
    yield '<h2>While they talked</h2><div class="cards">'
    for quantity in QUANTITIES:
        yield f'<section class="card"><h3>{quantity.title}</h3>{lines(quantity, legs)}</section>'
    yield "</div>"


def _table(found: Comparison) -> Iterator[str]:
    yield "<h2>Figures</h2><table><thead><tr><th></th><th>direct</th>"
    yield "<th>through the relay</th></tr></thead><tbody>"
    rows = [(name, told(found.direct), told(found.relay)) for name, told in ROWS]
    rows += [("relay carried", "nothing", carried(found)), ("costs", "nothing", cost(found))]
    for name, *cells in rows:
        shown = "".join(f"<td>{escape(unstyle(cell))}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name.strip())}</th>{shown}</tr>'
    yield "</tbody></table>"
