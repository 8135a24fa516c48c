"""The chart of the calls as SVG: bars on a logarithmic scale, one group per concurrency."""

from html import escape
from math import log10

from benchmarks._contenders import AIOHTTP, BARE, HTTPX, LIBRARY, ON_HTTPX, STRIPE
from benchmarks._findings import Findings

_SHOWN = {
    LIBRARY: "#1f6feb",
    ON_HTTPX: "#0a3069",
    HTTPX: "#d29922",
    STRIPE: "#8250df",
    AIOHTTP: "#57ab5a",
    BARE: "#afb8c1",
}
_CONCURRENCY = (1, 32, 128, 512)
_WIDTH, _BAR, _LEFT, _RIGHT = 860, 14, 110, 90
_LEAST, _MOST = 10.0, 100_000.0


def chart(found: Findings) -> str:
    """Return the chart of the upserts per second."""
    rows: list[str] = []
    y = 64
    for concurrency in _CONCURRENCY:
        case = f"upsert, {concurrency} at a time"
        rows.append(f'<text x="10" y="{y + _BAR * 3}" class="case">{concurrency} at a time</text>')
        for contender, colour in _SHOWN.items():
            rows.append(_bar(y, colour, contender, found.value(case, contender)))
            y += _BAR + 2
        y += 14
    legend = "".join(
        f'<rect x="{_LEFT + 122 * number}" y="36" width="10" height="10" fill="{colour}"/>'
        f'<text x="{_LEFT + 122 * number + 14}" y="45" class="small">{escape(_short(contender))}</text>'
        for number, (contender, colour) in enumerate(_SHOWN.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img"'
        f' aria-label="Upserts per second on one core">'
        "<style>text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-weight:600;font-size:15px}"
        ".small{font-size:11px}.case{font-weight:600}</style>"
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
        '<text x="10" y="22" class="title">Upserts per second on one core (logarithmic scale)</text>'
        f"{legend}{''.join(rows)}</svg>\n"
    )


def _bar(y: int, colour: str, contender: str, value: float) -> str:
    room = _WIDTH - _LEFT - _RIGHT
    width = room * log10(max(value, _LEAST) / _LEAST) / log10(_MOST / _LEAST)
    return (
        f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" fill="{colour}">'
        f"<title>{escape(contender)}: {value:,.0f} a second</title></rect>"
        f'<text x="{_LEFT + width + 5:.0f}" y="{y + _BAR - 3}" class="small">{value:,.0f}</text>'
    )


def _short(contender: str) -> str:
    return contender.replace("wonder_customers on httpx", "… on httpx")
