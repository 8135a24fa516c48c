"""Credentials are read from the environment. Arguments would be visible to other users of the machine."""

from collections.abc import Mapping
from os import environ

from wonder_customers.dialects import names, package
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import concealed

__all__ = ["GATEWAYS", "account_from_environment", "is_configured"]

GATEWAYS = ", ".join(names())
"""The installed gateways, for help texts."""


def is_configured(gateway: str, variables: Mapping[str, str] = environ) -> bool:
    """Return whether any variable of `gateway` is set, such as ``WONDER_APP_ID``."""
    return any(name.startswith(f"{gateway.upper()}_") for name in variables)


@concealed
def account_from_environment(gateway: str, variables: Mapping[str, str] = environ) -> Account:
    """Return the account of `gateway` that the environment variables describe.

    Raises:
        ConfigurationError: The gateway is unknown, or variables are missing or invalid. The message names the
            variables and does not show their values.
    """
    kind = package(gateway).ACCOUNT
    try:
        account: Account = kind.from_environment(variables)
    except ConfigurationError as error:
        hint = "" if is_configured(gateway, variables) else " (`wonder-customers simulator` prints values to try)"
        raise ConfigurationError(f"{gateway}: {error}{hint}") from error
    return account
