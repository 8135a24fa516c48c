"""Observers that create OpenTelemetry spans and metrics (extra ``otel``), and a Grafana dashboard for the metrics.

    CustomerSession(account, observers=[Spans(), Metrics()])

Without an OpenTelemetry SDK in the program, the observers have no effect. Spans and metrics contain no customer data
and no credentials. ``grafana.json`` in this package is a dashboard for a Prometheus data source.
"""

from wonder_customers.errors import needed

with needed("otel", "opentelemetry", by=__name__):
    from wonder_customers.contrib.otel._observer import OpenTelemetryObserver
    from wonder_customers.contrib.otel.metrics import Metrics
    from wonder_customers.contrib.otel.spans import Spans

__all__ = ["Metrics", "OpenTelemetryObserver", "Spans"]
