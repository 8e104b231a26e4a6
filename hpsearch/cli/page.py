"""The shell of a report: one HTML file with its style, its script and plotly.js inside, that asks no network."""

import html
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5d6778; --line: #dfe3ea; --back: #f6f7f9; --card: #fff;
  --accent: #2f6fd0; --good: #1d7f5c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --soft: #9aa5b8; --line: #2d3543; --back: #12161d;
  --card: #1a202a; --accent: #7fb0ff; --good: #5fcf9f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: .95rem; margin: 1.4rem 0 .5rem; color: var(--soft); font-weight: 600; }
p { margin: .4rem 0 .8rem; max-width: 46rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.description { white-space: pre-wrap; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem; margin: 1.2rem 0; }
.card, .box { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: .8rem 1rem; }
.card b { display: block; font-size: 1.35rem; line-height: 1.3; overflow-wrap: anywhere; }
.card.best b { color: var(--good); }
.card span { color: var(--soft); font-size: .85rem; }
.box { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .42rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 4.5rem; }
tr:last-child td { border-bottom: 0; }
tr.best td { font-weight: 600; }
.figure { overflow: hidden; min-height: 120px; }
code { font: .88em ui-monospace, monospace; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
nav a { color: var(--accent); margin-right: 1rem; text-decoration: none; }
@media print { .box, .card { break-inside: avoid; } }
"""

SCRIPT = """
const dark = matchMedia('(prefers-color-scheme: dark)');
function coloured(figure) {
  const layout = structuredClone(figure.layout), ink = dark.matches ? '#c3ccda' : '#4a5464';
  layout.font = {...layout.font, color: ink};
  layout.autosize = true;
  if (innerWidth < 640) {
    layout.margin = {...layout.margin, l: 44, r: 12};
    const panels = Object.keys(layout).filter(name => /^xaxis/.test(name)).length;
    if (layout.grid && layout.grid.columns > 1) {
      layout.height = 130 + 230 * panels;
      layout.grid = {...layout.grid, rows: panels, columns: 1, ygap: 0.35};
    }
  }
  return layout;
}
function draw() {
  for (const element of document.querySelectorAll('.figure')) {
    const figure = JSON.parse(document.getElementById(element.dataset.figure).textContent);
    const options = {responsive: true, displaylogo: false, displayModeBar: false};
    const failed = error => { element.textContent = `This figure cannot be drawn: ${error}`; };
    try {
      Plotly.react(element, figure.data, coloured(figure), options).catch(failed);
    } catch (error) {
      failed(error);  // and the others are drawn all the same
    }
  }
}
dark.addEventListener('change', draw);
draw();
"""


def text(value: object) -> str:
    """Users' text in HTML."""
    return html.escape(str(value))


def paragraph(value: object, kind: str = "") -> str:
    return f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>"


def section(title: str, *blocks: str) -> str:
    """Empty where there is nothing in it."""
    body = "\n".join(block for block in blocks if block)
    anchor = title.lower().replace(" ", "-")
    return f'<section id="{anchor}"><h2>{text(title)}</h2>\n{body}</section>' if body else ""


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """(what, value, class)."""
    shown = [
        f'<div class="card {kind}"><b>{text(value)}</b><span>{text(what)}</span></div>' for what, value, kind in items
    ]
    return f'<div class="cards">{"".join(shown)}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], best: int | None = None) -> str:
    """Empty where there are no rows; `best` is the row to stress."""
    head = "".join(f"<th>{text(column)}</th>" for column in columns)
    lines = [
        f"<tr{' class=best' if place == best else ''}>" + "".join(map(_cell, row)) + "</tr>"
        for place, row in enumerate(rows)
    ]
    if not lines:
        return ""
    top = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="box"><table>{top}<tbody>{"".join(lines)}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number">{text(f"{value:.6g}" if isinstance(value, float) else value)}</td>'
    return f"<td>{text('-' if value is None else value)}</td>"


def figure(name: str, content: Mapping[str, Any]) -> str:
    """A place that the script draws a figure into, beside the figure as JSON that cannot end its element."""
    height = int(content["layout"].get("height") or 420)
    place = f'<div class="box figure" data-figure="{text(name)}-json" style="height:{height}px"></div>'
    narrow = place.replace(f' style="height:{height}px"', "") if content["layout"].get("grid") else place
    return f'{narrow}<script type="application/json" id="{text(name)}-json">{in_script(content)}</script>'


def in_script(value: Any) -> str:
    """JSON that is safe within a script element."""
    found = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def page(title: str, body: str, plotly_js: str) -> str:
    """The whole file. Its policy lets it run its own scripts alone and reach no network."""
    nonce = secrets.token_hex(16)
    # plotly.js compiles the shaders of parallel coordinates: 'unsafe-eval'
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script nonce="{nonce}">{plotly_js}</script>
<script nonce="{nonce}">{SCRIPT}</script>
</body>
</html>
"""
