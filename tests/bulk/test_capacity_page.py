"""The simulation of large jobs, and the page with its results."""

from importlib import import_module
from typing import Any

import orjson
import pytest
from pages import ROOT


@pytest.fixture
def capacity(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    return import_module("benchmarks.capacity")


@pytest.mark.parametrize(
    ("limit", "workers", "seconds"),
    [(25, 8, 80_000), (1000, 8, 2000), (1000, 1, 2000), (10_000, 1, 1000), (10_000, 8, 200)],
    ids=["the limit", "a high limit", "one worker keeps up", "one worker does not", "eight do"],
)
def test_simulated_duration_is_bound_by_rate_limit_or_machine(
    capacity: Any, limit: int, workers: int, seconds: float
) -> None:
    speeds = capacity.Speeds(index=1e5, unchanged=5e4, sent=1000.0, journal=120.0, partitions=2.0)
    found = capacity.simulate(1_000_000, limit, speeds, workers=workers, deaths=0.0)
    assert found.seconds == pytest.approx(seconds, rel=0.01)
    assert (found.deaths, found.index, found.journal) == (0, 10.0, 120e6)


def test_simulated_failures_cost_only_their_own_time(capacity: Any) -> None:
    speeds = capacity.Speeds(1e5, 5e4, 1000.0, 120.0, 2.0)
    calm = capacity.simulate(1_000_000, 1000, speeds, deaths=0.0)
    stormy = capacity.simulate(1_000_000, 1000, speeds, deaths=1 / 100)
    assert stormy.deaths > 100
    each = (stormy.seconds - calm.seconds) * 8 / stormy.deaths
    assert each == pytest.approx(capacity.RESTART + capacity.SETTLE, rel=0.1)


def test_capacity_page_shows_the_stored_results(capacity: Any) -> None:
    results = orjson.loads((ROOT / "benchmarks/results/capacity.json").read_bytes())
    page = (ROOT / "docs/capacity.md").read_text(encoding="utf-8")
    assert capacity.table(results) in page
    assert capacity.checks(results) in page
    assert all(target["value"] <= target["most"] for target in results["targets"])
