"""What users' tests import; the pytest plug-in ``pytest_wonder_customers`` gives the same as fixtures.

* `GatewayMock`: all gateways mocked with respx, answering with their documented examples.
* `CustomerSimulator`: all gateways simulated, over real HTTP on this machine.
* `no_waits`: retries without sleeping.
* `make_draft`, `make_customer`, `make_token`, `make_card`: records.
* `wonder_customers.testing.strategies`: the same as Hypothesis strategies.
* `wonder_customers.testing.conformance`: what a dialect of another package must pass.

Needs the extra ``pytest``.
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
