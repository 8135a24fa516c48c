"""The dashboard queries the metrics that are exported to Prometheus."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import anyio
import pytest

from scripted_transport import CONNECTION_REFUSED, CREATED, MONRI, NO_RESPONSE, NOT_FOUND, draft, make_harness, respond
from wonder_customers import CustomerSession, InvalidRequestError, OutcomeUnknownError

pytest.importorskip("opentelemetry.exporter.prometheus", reason="needs OpenTelemetry's SDK and Prometheus exporter")

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest

from wonder_customers.contrib.otel import Metrics


def test_dashboard_queries_exactly_the_exported_metrics() -> None:
    reader = PrometheusMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    try:
        exported = anyio.run(_exported, meters, lambda: generate_latest(REGISTRY).decode())
    finally:
        meters.shutdown()
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for name, held in re.findall(r"^(\w+)(?:\{(.*)\})? ", exported, re.MULTILINE):
        labels[name] |= set(re.findall(r'(\w+)="', held))
    ours = {name for name in labels if re.match("wonder_customers_|http_client_", name)}
    board = json.loads((files("wonder_customers.contrib.otel") / "grafana.json").read_text(encoding="utf-8"))
    asked: set[str] = set()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            names = set(re.findall(r"\b(?:wonder_customers|http_client)_\w+(?=\{|\)|\[)", target["expr"])) & ours
            assert len(names) == 1, target["expr"]
            (name,) = names
            used = set(re.findall(r"(\w+)(?:=~|!=|=)\"", target["expr"]))
            used |= {word for part in re.findall(r"by \((.*?)\)", target["expr"]) for word in part.split(", ")}
            used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert used <= labels[name], f"{target['expr']} asks for {used - labels[name]}"
            asked.add(name)
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in ours}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} == families
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bwonder_customers_[a-z_]+(?=[ {])", page)) <= ours
    variables = {variable["name"]: variable["query"] for variable in board["templating"]["list"]}
    name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["gateway"]).groups()  # type: ignore[union-attr]
    assert label in labels[name]


async def _exported(meters: MeterProvider, text: Callable[[], str]) -> str:
    """Return the Prometheus export after calls that update every metric."""
    it = make_harness(
        CONNECTION_REFUSED,
        NO_RESPONSE,
        NOT_FOUND,
        CREATED,
        respond(400, {"message": "no"}),
        NO_RESPONSE,
        *[respond(502, b"")] * 3,
    )
    async with CustomerSession(MONRI, observers=[Metrics(meters)]) as opened:
        it.executor.observers = opened._shared.executor.observers
        await it.create(draft())
        with pytest.raises(InvalidRequestError):
            await it.create(draft(reference="r-2"))
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft(reference="r-3"))
        return text()
