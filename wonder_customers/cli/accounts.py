"""Credentials come from the environment, never from arguments, which other users of the machine can read."""

from collections.abc import Mapping
from os import environ

from wonder_customers.dialects import names, package
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import concealed

__all__ = ["GATEWAYS", "account_from_environment", "is_set_up"]

GATEWAYS = ", ".join(names())
"""The installed gateways, for help texts."""


def is_set_up(gateway: str, variables: Mapping[str, str] = environ) -> bool:
    """Whether any variable of `gateway` is set, such as ``WONDER_APP_ID``."""
    return any(name.startswith(f"{gateway.upper()}_") for name in variables)


@concealed
def account_from_environment(gateway: str, variables: Mapping[str, str] = environ) -> Account:
    """The account of `gateway` that the environment variables describe.

    Raises:
        ConfigurationError: No gateway has that name, or variables are missing or cannot work; they are named, their
            values are not shown.
    """
    kind = package(gateway).ACCOUNT
    try:
        account: Account = kind.from_environment(variables)
    except ConfigurationError as error:
        hint = "" if is_set_up(gateway, variables) else " (`wonder-customers simulator` prints a set to try with)"
        raise ConfigurationError(f"{gateway}: {error}{hint}") from error
    return account
