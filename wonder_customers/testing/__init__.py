"""Test helpers. The pytest plug-in ``pytest_wonder_customers`` provides the first three as fixtures.

* `GatewayMock`: mocks of all gateways with respx, which return the documented examples.
* `CustomerSimulator`: simulations of all gateways over real HTTP on a loopback port.
* `no_waits`: retries without sleeping.
* `make_draft`, `make_customer`, `make_token`, `make_card`: record factories.
* `wonder_customers.testing.cassettes`: recorded requests and responses for replay.
* `wonder_customers.testing.strategies`: Hypothesis strategies for records.
* `wonder_customers.testing.conformance`: the conformance test suite for dialects.

Requires the extra ``pytest``.
"""

from wonder_customers.errors import needed

with needed("pytest", "respx", by=__name__):
    from wonder_customers.testing.factories import make_card, make_customer, make_draft, make_token
    from wonder_customers.testing.mock import GatewayMock, MockedGateway
    from wonder_customers.testing.simulated import CustomerSimulator
    from wonder_customers.testing.waits import SkippedWaits, no_waits

__all__ = [
    "CustomerSimulator",
    "GatewayMock",
    "MockedGateway",
    "SkippedWaits",
    "make_card",
    "make_customer",
    "make_draft",
    "make_token",
    "no_waits",
]
