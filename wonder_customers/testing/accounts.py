"""The account of a test that needs no gateway."""

from wonder_customers.dialects import package
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.offline import account_at, mock_origin
from wonder_customers.errors import ConfigurationError

__all__ = ["configured_account"]


def configured_account(gateway: str) -> Account:
    """Return the account in the environment, or else an account at an unreachable origin."""
    try:
        found: Account = package(gateway).ACCOUNT.from_environment()
    except ConfigurationError:
        return account_at(gateway, mock_origin(gateway))
    return found
