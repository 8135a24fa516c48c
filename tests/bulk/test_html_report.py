"""The HTML report in headless Chromium."""

import html
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from chromium import NEEDS_CHROMIUM, dump_dom

from wonder_customers.bulk.html_report import page

WATCH = """<script>
window.seen = [];
addEventListener('error', e => seen.push('error ' + e.message), true);
addEventListener('securitypolicyviolation', e => seen.push('blocked ' + e.blockedURI));
for (const name of ['error', 'warn']) {
  const old = console[name];
  console[name] = (...a) => { seen.push(a.join(' ')); old(...a); };
}
</script>"""
TELL = """<script>
document.querySelector('svg').dispatchEvent(new PointerEvent('pointermove', {clientX: 400, clientY: 50}));
const lengths = [...document.querySelectorAll('path.curve')].map(p => [p.dataset.key, p.getTotalLength()]);
const loaded = performance.getEntriesByType('resource').map(e => e.name);
const read = document.querySelector('output').textContent;
document.documentElement.dataset.found = JSON.stringify({seen, loaded, lengths, read});
</script>"""


def report(points: int = 40, **more: Any) -> dict[str, Any]:
    curves = [
        {
            "at": float(second + 1),
            "seconds": 1.0,
            "rows": 100 + second % 7,
            "sent": 90 + second % 7,
            "throttled": int(second % 9 == 0),
            "p50": 0.012 + 0.001 * (second % 3),
            "p95": 0.04,
            "concurrency": min(16, 8 + second),
            "rate": None if second < 5 else 190.0 + second,
        }
        for second in range(points)
    ]
    rows = {"read": 4012, "skipped": 0, "created": 4000, "updated": 0, "written": 0, "unchanged": 0}
    return {
        "gateway": "paydock",
        "source": "</script><b>customers & friends.csv",
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": float(points),
        "reason": None,
        "rows": {**rows, "failed": 12, "invalid": 0, "duplicate": 0, "unfinished": 0},
        "adds_up": True,
        "failures": {"Rejected 422 <script>alert(1)</script>": 12},
        "drift": {"monri.zip_code": 3},
        "requests": {"sent": 8000, "throttled": 5},
        "found": {"requests_per_second": 196.0, "concurrency": 16},
        "curves": curves,
        **more,
    }


def browse(text: str, folder: Path) -> dict[str, Any]:
    """Open a page in headless Chromium and return its observations."""
    watched = text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{TELL}</body>", 1)
    path = folder / "page.html"
    path.write_text(watched, encoding="utf-8")
    elements, log = dump_dom(path.as_uri(), folder)
    assert "CONSOLE" not in log
    found = re.search(r'data-found="([^"]*)"', elements)
    assert found is not None, elements[-500:]
    seen: dict[str, Any] = orjson.loads(html.unescape(found[1]))
    return seen


@NEEDS_CHROMIUM
def test_report_page_draws_curves_without_requests(tmp_path: Path) -> None:
    seen = browse(page(report()), tmp_path)
    assert seen["seen"] == []
    assert [url for url in seen["loaded"] if not url.startswith("data:")] == []
    drawn = dict(seen["lengths"])
    assert drawn.keys() == {"rows", "sent", "p50", "p95", "concurrency", "rate", "refused"}
    assert all(length > 300 for length in drawn.values())
    assert re.match(r"\d+ s: rows \d+", seen["read"])


@NEEDS_CHROMIUM
@pytest.mark.parametrize("points", [0, 1, 600])
def test_any_number_of_points_is_drawn(points: int, tmp_path: Path) -> None:
    assert browse(page(report(points)), tmp_path)["seen"] == []


def test_report_page_is_self_contained() -> None:
    text = page(report(reason="4 rows failed <b>"))
    assert "<script>alert" not in text
    assert "</script><b>customers" not in text
    assert "4 rows failed &lt;b&gt;" in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert "http" not in text.replace("http-equiv", "")
