"""Observers that create OpenTelemetry spans and metrics (extra ``otel``), and a Grafana dashboard for the metrics.

    CustomerSession(account, observers=[Spans(), Metrics()])

The observers depend only on OpenTelemetry's API. Without an SDK in the program, they have no effect. The metrics and
attributes of requests follow OpenTelemetry's semantic conventions for HTTP clients. The library's own metrics and
attributes start with ``wonder_customers.``. Spans and metrics contain no data of customers or accounts.

``grafana.json`` in this package is a dashboard for a Prometheus data source. See ``docs/operating.md``.
"""

from wonder_customers.errors import needed

with needed("otel", "opentelemetry", by=__name__):
    from wonder_customers.contrib.otel._observer import OpenTelemetryObserver
    from wonder_customers.contrib.otel.metrics import Metrics
    from wonder_customers.contrib.otel.spans import Spans

__all__ = ["Metrics", "OpenTelemetryObserver", "Spans"]
