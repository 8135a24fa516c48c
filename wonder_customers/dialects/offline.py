"""Accounts with generated credentials, for any installed dialect."""

from functools import cache

from wonder_customers.dialects import package, simulator
from wonder_customers.dialects.base import Account
from wonder_customers.simulator import SimulatedGateway, Store

__all__ = ["account_at", "mock_origin", "offline_simulator"]


@cache
def offline_simulator(gateway: str) -> SimulatedGateway:
    """Return a simulated gateway without a server."""
    created: SimulatedGateway = simulator(gateway)(Store())
    return created


def mock_origin(gateway: str) -> str:
    """Return an origin whose host name cannot be resolved."""
    return f"https://{gateway}.invalid"


@cache
def account_at(gateway: str, origin: str) -> Account:
    """Return an account with generated credentials and `origin` as its base URL."""
    account: Account = package(gateway).ACCOUNT.from_environment(offline_simulator(gateway).environment(origin))
    return account
