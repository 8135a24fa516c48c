"""Helpers for tests of code that uses wonder_customers. They require the extra ``pytest``."""

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
