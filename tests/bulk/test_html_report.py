"""The HTML report in headless Chromium."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from chromium import NEEDS_CHROMIUM, Browser

from wonder_customers.bulk.html_report import page
from wonder_customers.bulk.report import format_duration

REASON = "InvalidRequestError 422 <script>alert(1)</script>"
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
const svg = document.querySelector('svg');
svg && svg.dispatchEvent(new PointerEvent('pointermove', {clientX: 400, clientY: 50, bubbles: true}));
const lengths = [...document.querySelectorAll('path.curve')].map(p => [p.dataset.name, p.getTotalLength()]);
const loaded = performance.getEntriesByType('resource').map(e => e.name);
const read = svg && document.querySelector('output').textContent;
const wide = document.documentElement.scrollWidth - innerWidth;
document.documentElement.dataset.found = JSON.stringify({seen, loaded, lengths, read, wide});
</script>"""


def report(points: int = 40, **more: Any) -> dict[str, Any]:
    curves = [
        {
            "at": float(second + 1),
            "seconds": 1.0,
            "rows": 100 + second % 7,
            "sent": 90 + second % 7,
            "requests": 200 + second % 5,
            "failed": int(second % 11 == 0),
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
        "environment": "sandbox",
        "source": "</script><b>customers & friends.csv",
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": float(points),
        "reason": None,
        "outages": [{"reason": "the gateway answers 503", "requests": 432, "seconds": 281.0}],
        "source_changes": {
            "transformations": [
                {"column": "Phone", "transformation": "phone", "values": 1234, "examples": [("999 999", "+999 99 999")]}
            ]
        },
        "rows": {**rows, "failed": 12, "invalid": 0, "duplicate": 0, "unfinished": 0},
        "adds_up": True,
        "confirmed": {"rows": 4000, "of": 4012, "all": False, "text": "4,000 of 4,012 rows are confirmed (99.7%)."},
        "next_steps": [
            {"text": "To send the failed rows again, run:", "command": "wonder-customers retry-failed 'a b'"}
        ],
        "failures": {REASON: 12},
        "drift": {"monri.zip_code": 3},
        "examples": {REASON: [3, 14]},
        "requests": {"sent": 8000, "throttled": 5, "faults": 3},
        "versions": {"wonder_customers": "1", "python": "3"},
        "found": {"requests_per_second": 196.0, "concurrency": 16},
        "curves": curves,
        **more,
    }


def browse(text: str, folder: Path, browser: Browser, width: int = 800) -> dict[str, Any]:
    """Open a page in headless Chromium and return its observations."""
    watched = text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{TELL}</body>", 1)
    path = folder / "page.html"
    path.write_text(watched, encoding="utf-8")
    browser.messages.clear()
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.open(path.as_uri(), f"location.href === '{path.as_uri()}' && document.documentElement?.dataset.found")
    assert browser.messages == []
    seen: dict[str, Any] = orjson.loads(browser.run("document.documentElement.dataset.found"))
    return seen


@NEEDS_CHROMIUM
@pytest.mark.parametrize("width", [390, 1280])
def test_report_page_draws_curves_without_requests(width: int, tmp_path: Path, chromium: Browser) -> None:
    seen = browse(page(report()), tmp_path, chromium, width)
    assert seen["seen"] == []
    assert seen["wide"] <= 0
    assert [url for url in seen["loaded"] if not url.startswith("data:")] == []
    drawn = dict(seen["lengths"])
    assert drawn.keys() == {"requests", "rate", "throttled", "failed", "rows", "sent", "p50", "p95", "concurrency"}
    assert all(length > 50 for length in drawn.values())
    assert re.match(r"\d+ s: sent \d+, current limit ", seen["read"])


@NEEDS_CHROMIUM
@pytest.mark.parametrize("points", [0, 1, 600])
def test_any_number_of_points_is_accepted(points: int, tmp_path: Path, chromium: Browser) -> None:
    seen = browse(page(report(points)), tmp_path, chromium)
    assert seen["seen"] == []
    assert bool(seen["lengths"]) == (points > 2)


def test_point_between_gaps_is_drawn_as_a_dot() -> None:
    curves = report(5)["curves"]
    for place, point in enumerate(curves):
        point["p95"] = 0.5 if place == 2 else None
    assert re.search(r'class="curve k1 dots" data-name="p95" d="M60.00 [\d.]+h0"', page(report(curves=curves)))


def test_report_page_says_what_happened_and_what_to_do_next() -> None:
    text = page(report(reason="4 rows failed <b>"))
    assert "4,000 of 4,012 rows are confirmed (99.7%)." in text
    assert "<pre>wonder-customers retry-failed &#39;a b&#39;</pre>" in text
    assert "row 3, 14" in text
    assert "<td>monri.zip_code</td>" in text
    assert "The job stopped: 4 rows failed &lt;b&gt;" in text
    assert "sandbox · started" in text


@pytest.mark.parametrize("reasons", [1, 20, 21, 200])
def test_report_page_folds_all_but_the_most_frequent_reasons(reasons: int) -> None:
    found = {f"InvalidRequestError 422 code {number}": 10_000 - number for number in range(reasons)}
    text = page(report(failures=found, examples={reason: [1] for reason in found}))
    folded = re.findall(r"<details><summary>(.*?)</summary>(.*?)</details>", text, re.DOTALL)
    assert [it for it, _ in folded] == ({21: ["1 more reason"], 200: ["180 more reasons"]}.get(reasons, []))
    rows = r"InvalidRequestError 422 code \d+<div"
    assert [len(re.findall(rows, it)) for it in (text, *(it for _, it in folded))] == [reasons, reasons - 20][
        : 1 + len(folded)
    ]
    assert text.count("<table>") == text.count("</table>")
    assert len(text) < 100_000


def test_report_page_lists_outages_and_changed_values() -> None:
    text = re.sub(r"\s+", " ", page(report()))
    assert '<td>the gateway answers 503</td><td class="number">432</td> <td class="number">4 min 41 s</td>' in text
    assert (
        '<td>Phone<div class="dim">phone</div></td><td class="number">1,234</td> <td>999 999 → +999 99 999</td>' in text
    )
    without = page(report(outages=[], source_changes={"transformations": []}))
    assert "Outages" not in without
    assert "Values changed" not in without


def test_report_page_is_self_contained() -> None:
    text = page(report())
    assert "<script>alert" not in text
    assert "</script><b>customers" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert "http" not in text.replace("http-equiv", "")


def test_durations_are_formatted() -> None:
    assert [format_duration(seconds) for seconds in (0, 0.41, 4, 41, 60, 281, 7200, 7500, 200_000)] == [
        "0 s", "0.4 s", "4 s", "41 s", "1 min", "4 min 41 s", "2 h", "2 h 05 min", "2 d 7 h",
    ]  # fmt: skip
