"""The instrumentation scope, and the attributes that OpenTelemetry's semantic conventions do not define."""

from typing import Final

SCOPE: Final = "wonder_customers"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

GATEWAY: Final = "wonder_customers.gateway"
OPERATION: Final = "wonder_customers.operation"
APPLIED: Final = "wonder_customers.applied"
RECOVERED: Final = "wonder_customers.recovered"
OUTCOME: Final = "wonder_customers.outcome"
REQUEST_ID: Final = "wonder_customers.request_id"
REASON: Final = "wonder_customers.reason"
DRIFT: Final = "wonder_customers.response.drift"
FOUND: Final = "wonder_customers.found"
