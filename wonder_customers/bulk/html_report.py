"""The HTML report: one page with charts as inline SVG and a small script, without external requests."""

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from attrs import frozen

__all__ = ["page"]

WIDTH: Final = 860
HEIGHT: Final = 190
LEFT: Final = 64
RIGHT: Final = 24
BOTTOM: Final = 24
TOP: Final = 10

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667; --line: #d8dde6; --paper: #fff; --a: #0b6bcb;
  --b: #d9480f; --c: #2b8a3e; --bad: #c92a2a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #9aa3b2; --line: #333b48; --paper: #14181f;
  --a: #5aa9f7; --b: #ff8a5b; --c: #69db7c; --bad: #ff8787; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 900px; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
.dim { color: var(--dim); } .bad { color: var(--bad); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: .6rem; margin: 1.2rem 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
.grid { stroke: var(--line); stroke-width: 1; } .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); }
.mark { stroke: var(--dim); stroke-dasharray: 3 3; visibility: hidden; }
.key { font-weight: normal; font-size: .85rem; } .n { text-align: right !important; }
.key i { display: inline-block; width: 1.1em; border-top: 3px solid; margin: 0 .35em .2em 1em; vertical-align: middle; }
.key i.a { border-color: var(--a); } .key i.b { border-color: var(--b); } .key i.c { border-color: var(--c); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { background: var(--bad); height: .7em; border-radius: 3px; opacity: .75; }
"""

_SCRIPT = """
const points = JSON.parse(document.getElementById('points').textContent);
const unit = { ms: v => (v * 1000).toFixed(v < .01 ? 1 : 0) + ' ms', s: v => v.toLocaleString() };
for (const chart of document.querySelectorAll('figure')) {
  const svg = chart.querySelector('svg'), mark = chart.querySelector('.mark'), out = chart.querySelector('output');
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * WIDTH;
    let best = 0;
    points.forEach((p, i) => { if (Math.abs(px(p) - x) < Math.abs(px(points[best]) - x)) best = i; });
    const p = points[best];
    if (!p) return;
    mark.setAttribute('x1', px(p)); mark.setAttribute('x2', px(p)); mark.style.visibility = 'visible';
    const text = v => v == null ? 'none' : unit[chart.dataset.unit](v);
    const shown = chart.dataset.keys.split(' ').map(k => k + ' ' + text(p[k]));
    out.textContent = p.at.toLocaleString() + ' s: ' + shown.join(', ');
  });
  svg.addEventListener('pointerleave', () => { mark.style.visibility = 'hidden'; out.textContent = ''; });
}
function px(p) { return LEFT + p.at / LAST * (WIDTH - LEFT - RIGHT); }
"""


@frozen
class _Chart:
    """One chart.

    Attributes:
        title: The title.
        keys: The curves and their labels.
        unit: How the script formats a value.
        label: How the axis formats a value.
    """

    title: str
    keys: Mapping[str, str]
    unit: str
    label: Callable[[float], str]


def page(report: Mapping[str, Any]) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        report: The result of `report.build`.
    """
    points = [_readable(point) for point in report["curves"]]
    last = points[-1]["at"] if points else 1.0
    charts = "\n".join(_figure(chart, points, last) for chart in _CHARTS)
    # Inside a script element only "</" could end the data early.
    data = json.dumps(points).replace("</", "<\\/")
    script = _SCRIPT
    for name, value in {"WIDTH": WIDTH, "LEFT": LEFT, "RIGHT": RIGHT, "LAST": last or 1}.items():
        script = script.replace(name, str(value))
    title = escape(f"{report['source']} → {report['gateway']}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,"><title>{title}</title><style>{_STYLE}</style></head>
<body><h1>{title}</h1>
<p class="dim">{_summary(report)}</p>
{_stopped(report)}<div class="tiles">{_tiles(report)}</div>
{charts}
{_table("Failures by reason", "rows", report["failures"])}
{_table("Response fields that differ from the documents", "times", report["drift"])}
<script type="application/json" id="points">{data}</script>
<script>{script}</script>
</body></html>
"""


def _readable(point: Mapping[str, Any]) -> dict[str, Any]:
    seconds = point["seconds"] or 1
    return {
        "at": point["at"],
        "rows": round(point["rows"] / seconds, 1),
        "sent": round(point["sent"] / seconds, 1),
        "refused": round(point["throttled"] / seconds, 1),
        "p50": point["p50"],
        "p95": point["p95"],
        "concurrency": point["concurrency"],
        "rate": point["rate"],
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _time(value: float) -> str:
    return f"{value * 1000:,.0f} ms" if value >= 0.01 or value == 0 else f"{value * 1000:.1f} ms"


_CHARTS = (
    _Chart("Throughput, per second", {"rows": "rows completed", "sent": "rows sent"}, "s", _number),
    _Chart("Duration of a row", {"p50": "median", "p95": "95th percentile"}, "ms", _time),
    _Chart("Concurrency", {"concurrency": "limit of concurrent rows"}, "s", _number),
    _Chart("Requests per second", {"rate": "current limit", "refused": "refused with 429"}, "s", _number),
)


def _figure(chart: _Chart, points: Sequence[Mapping[str, Any]], last: float) -> str:
    values = [point[key] for point in points for key in chart.keys if point[key] is not None]
    top = _round_up(max(values, default=0.0) or 1.0)
    curves = [_curve(points, key, "abc"[place], top, last) for place, key in enumerate(chart.keys)]
    key = "".join(f'<i class="{"abc"[place]}"></i>{escape(words)}' for place, words in enumerate(chart.keys.values()))
    mark = f'<line class="mark" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return (
        f'<figure style="margin:0" data-keys="{" ".join(chart.keys)}" data-unit="{chart.unit}">'
        f'<h2>{escape(chart.title)} <span class="key dim">{key}</span></h2>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">'
        f"{_axes(chart, top, last)}{''.join(curves)}{mark}</svg>"
        '<output class="dim">&nbsp;</output></figure>'
    )


def _axes(chart: _Chart, top: float, last: float) -> str:
    parts = []
    for quarter in range(5):
        y = _y(top * quarter / 4, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{chart.label(top * quarter / 4)}</text>')
    for fifth in range(6):
        x = _x(last * fifth / 5, last)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{_number(last * fifth / 5)} s</text>')
    return "".join(parts)


def _curve(points: Sequence[Mapping[str, Any]], key: str, style: str, top: float, last: float) -> str:
    """Return the curve, with a gap where a value is missing."""
    steps, drawn = [], False
    for point in points:
        if point[key] is None:
            drawn = False
            continue
        steps.append(f"{'L' if drawn else 'M'}{_x(point['at'], last):.1f} {_y(point[key], top):.1f}")
        drawn = True
    # A single point is drawn as a short line, otherwise it would be invisible.
    if len(steps) == 1:
        steps.append("h2")
    return f'<path class="curve {style}" data-key="{key}" d="{" ".join(steps)}"/>' if steps else ""


def _x(at: float, last: float) -> float:
    return LEFT + at / (last or 1) * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)


def _round_up(value: float) -> float:
    """Return the next round number whose quarters are round too."""
    power = 10.0**-4
    while True:
        for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8):
            if step * power >= value:
                return step * power
        power *= 10


def _summary(report: Mapping[str, Any]) -> str:
    rows, found, requests = report["rows"], report["found"], report["requests"]
    read = rows["read"] - rows["skipped"]
    parts = [
        f"{escape(report['started'])}",
        f"{read:,} rows in {report['seconds']:,.1f} s ({read / max(report['seconds'], 0.001):,.0f} rows/s)",
        f"{requests['sent']:,} requests, {requests['throttled']:,} refused with 429",
    ]
    if found["requests_per_second"] is not None:
        parts.append(f"limit: {found['requests_per_second']:,.0f} requests/s")
    parts.append("the counts add up" if report["adds_up"] else '<span class="bad">the counts do not add up</span>')
    return " · ".join(parts)


def _stopped(report: Mapping[str, Any]) -> str:
    return f'<p class="bad">Stopped early: {escape(report["reason"])}</p>\n' if report["reason"] else ""


def _tiles(report: Mapping[str, Any]) -> str:
    tiles = []
    hidden = {"duplicate", "unfinished"} | ({"created", "updated"} if report["rows"]["written"] else {"written"})
    for name, count in report["rows"].items():
        if name in {"read", "skipped"} or (not count and name in hidden):
            continue
        style = ' class="bad"' if count and name in {"failed", "invalid", "duplicate"} else ""
        tiles.append(
            f'<div class="tile"><b{style}>{count:,}</b>{"not reached" if name == "unfinished" else name}</div>'
        )
    return "".join(tiles)


def _table(title: str, unit: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return f"<h2>{title}</h2><p class=dim>None.</p>"
    most = max(counts.values())
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td>'
        f'<td style="width:45%"><div class="bar" style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in counts.items()
    )
    return f"<h2>{title}</h2><table><tr><th></th><th class=n>{unit}</th><th></th></tr>{rows}</table>"
