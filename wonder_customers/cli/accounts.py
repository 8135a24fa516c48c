"""Credentials are read from the environment. Arguments would be visible to other users of the machine."""

from collections.abc import Mapping
from os import environ
from urllib.parse import urlsplit

from wonder_customers._support.loopback import is_loopback
from wonder_customers.dialects import names, package
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import concealed

__all__ = ["GATEWAYS", "account_from_environment", "environment", "is_configured"]

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


def environment(account: Account) -> str:
    """Return where an account is: ``production``, ``sandbox``, ``simulator`` (this machine) or ``another server``."""
    kind, url = type(account), account.base_url.rstrip("/")
    for name in ("production", "sandbox"):
        if url == getattr(kind, name.upper(), "").rstrip("/"):
            return name
    return "simulator" if is_loopback(urlsplit(url).hostname or "") else "another server"
