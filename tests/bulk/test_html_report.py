"""The HTML report in headless Chromium."""

import html
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from wonder_customers.bulk.html_report import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

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
        "requests": {"sent": 8000, "throttled": 5},
        "found": {"requests_per_second": 196.0, "concurrency": 16},
        "curves": curves,
        **more,
    }


def browse(text: str, folder: Path) -> dict[str, Any]:
    """Open a page in headless Chromium and return its observations."""
    assert CHROMIUM is not None
    watched = text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{TELL}</body>", 1)
    path = folder / "page.html"
    path.write_text(watched, encoding="utf-8")
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None, done.stdout[-500:]
    seen: dict[str, Any] = orjson.loads(html.unescape(found[1]))
    return seen


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_report_page_draws_curves_without_requests(tmp_path: Path) -> None:
    seen = browse(page(report()), tmp_path)
    assert seen["seen"] == []
    assert [url for url in seen["loaded"] if not url.startswith("data:")] == []
    drawn = dict(seen["lengths"])
    assert drawn.keys() == {"rows", "sent", "p50", "p95", "concurrency", "rate", "refused"}
    assert all(length > 300 for length in drawn.values())
    assert re.match(r"\d+ s: rows \d+", seen["read"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
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
