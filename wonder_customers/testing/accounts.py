"""Accounts for tests: credentials that the simulated gateways made up, for any dialect that is installed."""

from functools import cache

from wonder_customers.dialects import package, simulator
from wonder_customers.dialects.base import Account
from wonder_customers.simulator import SimulatedGateway, Store

__all__ = ["account_at", "mock_origin", "offline_simulator"]


@cache
def offline_simulator(gateway: str) -> SimulatedGateway:
    """The simulated gateway called `gateway`, which serves nobody: it makes credentials and refusals up.

    Raises:
        ConfigurationError: No gateway has that name.
    """
    made: SimulatedGateway = simulator(gateway)(Store())
    return made


def mock_origin(gateway: str) -> str:
    """An address that no name server knows: were a request sent there, it could not arrive."""
    return f"https://{gateway}.invalid"


@cache
def account_at(gateway: str, origin: str) -> Account:
    """An account of `gateway` with made-up credentials whose base URL is at `origin`."""
    account: Account = package(gateway).ACCOUNT.from_environment(offline_simulator(gateway).environment(origin))
    return account
