"""``wonder-customers check``: test the credentials."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from attrs import frozen
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from wonder_customers.cli.accounts import account_from_environment, is_configured
from wonder_customers.cli.error_messages import error_message
from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.cli.output import cell, console, json_line, plain_table
from wonder_customers.cli.runtime import run_with_session
from wonder_customers.cli.shared_options import GATEWAYS, Json
from wonder_customers.dialects import names, package
from wonder_customers.errors import AuthenticationError, CallError, ConfigurationError, PermissionDeniedError
from wonder_customers.retry import RetryPolicy

__all__ = ["CredentialCheck", "check"]

_RETRY: Final = RetryPolicy(attempts=2, deadline=15.0)
"""Fewer attempts and a shorter deadline than the default, because the user waits for the result."""

State = Literal["right", "wrong", "unknown", "not set up"]

_STYLES: Final = {"right": "green", "wrong": "bold red", "unknown": "yellow", "not set up": "yellow"}


@frozen
class CredentialCheck:
    """The result of testing a gateway's credentials.

    Attributes:
        credentials: Whether the credentials are valid, as far as known.
        base_url: The URL of the gateway; None without a valid account.
        message: The error; None if the credentials are right.
    """

    gateway: str
    credentials: State
    base_url: str | None = None
    message: str | None = None

    @property
    def code(self) -> int:
        """The exit code for this result."""
        if self.credentials == "right":
            return SUCCESS
        return USAGE if self.base_url is None else FAILED


def check(
    gateway: Annotated[
        str | None, Parameter(help=f"The gateway: {GATEWAYS}. Default: all configured gateways.")
    ] = None,
    /,
    *,
    json: Json = False,
) -> int:
    """Test the credentials in the environment by reading one customer."""
    if gateway is not None:
        package(gateway)  # an unknown name is an error, not a gateway without credentials
    results = [_check(name) for name in (names() if gateway is None else (gateway,))]
    if json:
        for result in results:
            json_line(result)
    else:
        _show(console(), results)
    # Gateways without settings do not count as errors when another gateway is configured.
    counted = [result for result in results if result.credentials != "not set up"] or results
    return max(result.code for result in counted)


def _check(gateway: str) -> CredentialCheck:
    try:
        account = account_from_environment(gateway)
    except ConfigurationError as error:
        return CredentialCheck(gateway, "wrong" if is_configured(gateway) else "not set up", message=str(error))
    try:
        run_with_session(gateway, lambda session: session.check(), _RETRY)
    except CallError as error:
        refused = isinstance(error, (AuthenticationError, PermissionDeniedError)) and error.certain
        return CredentialCheck(gateway, "wrong" if refused else "unknown", account.base_url, error_message(error))
    return CredentialCheck(gateway, "right", account.base_url)


def _show(screen: Console, results: Iterable[CredentialCheck]) -> None:
    table = plain_table("gateway", "credentials", "at")
    for result in results:
        state = Text(result.credentials, _STYLES[result.credentials])
        table.add_row(cell(result.gateway), state, cell(result.base_url))
    screen.print(table)
    for result in results:
        if result.message is not None:
            screen.print()
            screen.print(cell(result.message))
