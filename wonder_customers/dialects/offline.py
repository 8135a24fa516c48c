"""Accounts with generated credentials, for any installed dialect."""

from functools import cache

from wonder_customers.dialects import package, simulator
from wonder_customers.dialects.base import Account
from wonder_customers.simulator import SimulatedGateway, Store

__all__ = ["offline_account", "offline_simulator"]


@cache
def offline_simulator(gateway: str) -> SimulatedGateway:
    """Return a simulated gateway without a server."""
    created: SimulatedGateway = simulator(gateway)(Store())
    return created


@cache
def offline_account(gateway: str, origin: str | None = None) -> Account:
    """Return an account with generated credentials at `origin`; None for a host whose name cannot be resolved."""
    variables = offline_simulator(gateway).environment(origin or f"https://{gateway}.invalid")
    account: Account = package(gateway).ACCOUNT.from_environment(variables)
    return account
