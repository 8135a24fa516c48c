"""The HTML report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from wonder_customers.bulk.report import MEANINGS, format_duration
from wonder_customers.errors import needed

__all__ = ["page"]

_TEMPLATE: Final = Path(__file__).with_name("report.html.jinja")
_FEWEST_POINTS: Final = 3
"""A report with fewer points than this has no charts."""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
"""Possible distances between two labels of the time axis, in seconds. Longer distances are multiples of a day."""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _latency(value: float) -> str:
    if value >= 1 or value == 0:
        return f"{value:.1f} s" if value else "0"
    return f"{value * 1000:,.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


@frozen
class _Chart:
    """A chart of the report."""

    title: str
    # The label of each curve, by the name of its values in the report.
    curves: Mapping[str, str]
    label: Callable[[float], str] = _number


_CHARTS: Final = (
    _Chart(
        "Requests per second",
        {"requests": "sent", "rate": "current limit", "throttled": "rejected (HTTP 429)", "failed": "failed"},
    ),
    _Chart("Rows per second", {"rows": "completed", "sent": "accepted by the gateway"}),
    _Chart("Duration of a row", {"p50": "median", "p95": "95th percentile"}, _latency),
    _Chart("Concurrent rows", {"concurrency": "limit"}),
)


def page(report: Mapping[str, Any]) -> str:
    """Return a report as one self-contained HTML page."""
    with needed("cli", "jinja2", by="the HTML report"):
        import jinja2  # noqa: PLC0415 - an extra

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    counted = ("rows", "sent", "requests", "throttled", "failed")
    points = [{**it, **{name: it[name] / (it["seconds"] or 1) for name in counted}} for it in report["curves"]]
    rows = report["rows"]
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        counts=[(status, rows[status], meaning) for status, meaning in MEANINGS.items() if rows[status]],
        most=max(report["failures"].values(), default=1),
        charts=[_figure(chart, points) for chart in _CHARTS] if len(points) >= _FEWEST_POINTS else [],
        points=[_shown(point) for point in points],
        duration=format_duration(report["seconds"]),
        number=_number,
        span=format_duration,
    )


def _figure(chart: _Chart, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of a chart for the template."""
    top = _round_up(max(point[name] or 0.0 for point in points for name in chart.curves))
    last = points[-1]["at"]
    step = next((it for it in _STEPS if last / it <= 6), 86_400.0 * (int(last / 6 / 86_400) + 1))
    return {
        "title": chart.title,
        "curves": [
            {"name": name, "label": label, "path": _path(points, name, last, top)}
            for name, label in chart.curves.items()
            if any(point[name] for point in points)
        ],
        "values": [(100 - 25 * quarter, chart.label(top * quarter / 4)) for quarter in range(5)],
        "times": [(100 * at / last, format_duration(at)) for at in (step * i for i in range(int(last / step) + 1))],
    }


def _path(points: Sequence[Mapping[str, Any]], name: str, last: float, top: float) -> str:
    """Return a curve as SVG commands."""
    runs: list[list[str]] = [[]]
    for point in points:
        if point[name] is None:
            runs.append([])
        else:
            runs[-1].append(f"{100 * point['at'] / last:.2f} {100 - 100 * point[name] / top:.2f}")
    return " ".join(f"M{'L'.join(run)}" + ("h0" if len(run) == 1 else "") for run in runs if run)


def _round_up(value: float) -> float:
    """Return a round number that is at least `value`."""
    power = 10.0**-4
    while power * 10 < value:
        power *= 10
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if step * power >= value)


def _shown(point: Mapping[str, Any]) -> dict[str, Any]:
    labels = {name: chart.label(point[name]) for chart in _CHARTS for name in chart.curves if point[name] is not None}
    return {"at": point["at"], "time": format_duration(point["at"]), **labels}
