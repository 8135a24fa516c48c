"""Observers that make OpenTelemetry spans and metrics (extra ``otel``), and a Grafana dashboard for the metrics.

    CustomerSession(account, observers=[Spans(), Metrics()])

They use OpenTelemetry's API alone: without an SDK in the program, nothing is made and nothing is kept. Names and
attributes follow OpenTelemetry's semantic conventions for HTTP clients where these have a word for it, and begin with
``wonder_customers.`` where they have none. Nothing of a customer or of the account is in any span or metric.

``grafana.json`` beside this file is a dashboard for a Prometheus data source. ``docs/operating.md`` says more.
"""

from wonder_customers.errors import needed

with needed("otel", "opentelemetry", by=__name__):
    from wonder_customers.contrib.otel.metrics import Metrics
    from wonder_customers.contrib.otel.spans import Spans

__all__ = ["Metrics", "Spans"]
