"""The accounts of the commands. Credentials come from the environment, because arguments are visible to other users."""

import sys
from collections.abc import Mapping
from os import environ
from typing import TYPE_CHECKING

from wonder_customers.cli.error_messages import with_variables
from wonder_customers.dialects import package
from wonder_customers.dialects.accounts import environment
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import concealed

if TYPE_CHECKING:  # loaded only for bulk jobs
    from wonder_customers.bulk.journal import Journal

__all__ = ["account_from_environment", "account_of", "check_account", "confirm_production", "is_configured"]


def is_configured(gateway: str, variables: Mapping[str, str] = environ) -> bool:
    """Return whether a variable of `gateway` is set."""
    own = (name for name in variables if not name.startswith("WONDER_CUSTOMERS_"))  # variables of this library
    return any(name.startswith(f"{gateway.upper()}_") for name in own)


@concealed
def account_from_environment(gateway: str, variables: Mapping[str, str] = environ) -> Account:
    """Return the account of `gateway` from environment variables."""
    kind = package(gateway).ACCOUNT
    try:
        account: Account = kind.from_environment(variables)
    except ConfigurationError as error:
        first = ". `wonder-customers simulator` prints values for a first test."
        hint = "" if is_configured(gateway, variables) else first
        raise ConfigurationError(f"{gateway}: {with_variables(str(error), gateway)}{hint}") from error
    return account


def confirm_production(account: Account, gateway: str, *, yes: bool) -> None:
    """Ask for confirmation before a job writes to a production account."""
    if yes or environment(account) != "production":
        return
    what = f"This is the first job with this journal that writes to the production account of {gateway}"
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{what}. Check the changes (for `sync`, run `plan`), then add --yes.")
    sys.stderr.write(f"{what}, {account.base_url}.\nType yes to continue: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise ConfigurationError("the job was not confirmed with `yes`. To start the job, run the command again.")


def account_of(opened: "Journal", *, renewed: bool) -> Account:
    """Return the account of a journal from the environment."""
    return check_account(opened, account_from_environment(opened.gateway), renewed=renewed)


def check_account(opened: "Journal", owner: Account, *, renewed: bool) -> Account:
    """Check that a journal belongs to an account, and return the account."""
    if renewed:
        opened.confirm(owner)
    opened.check(owner)
    return owner
