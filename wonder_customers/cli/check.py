"""``wonder-customers check``: are my credentials right?"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from attrs import frozen
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from wonder_customers.cli.accounts import GATEWAYS, account_from_environment, is_set_up
from wonder_customers.cli.asking import ask
from wonder_customers.cli.codes import DONE, FAILED, USAGE
from wonder_customers.cli.output import cell, console, json_line
from wonder_customers.cli.tables import plain_table
from wonder_customers.dialects import names
from wonder_customers.errors import AuthenticationError, CallError, ConfigurationError, PermissionDeniedError
from wonder_customers.retry import RetryPolicy

__all__ = ["Decision", "check"]

_IMPATIENT: Final = RetryPolicy(attempts=2, deadline=15.0)
"""Someone who asks whether the credentials are right waits in front of the terminal."""

State = Literal["right", "wrong", "unknown", "not set up"]

_STYLES: Final = {"right": "green", "wrong": "bold red", "unknown": "yellow", "not set up": "yellow"}


@frozen
class Decision:
    """What came of trying a gateway's credentials.

    Attributes:
        gateway: The gateway's name.
        credentials: What they are; ``unknown`` where the gateway could not be asked.
        base_url: Where the gateway was asked, None where it was not.
        message: What happened and what to do, None where all is well.
    """

    gateway: str
    credentials: State
    base_url: str | None = None
    message: str | None = None

    @property
    def code(self) -> int:
        """The exit code that this means."""
        if self.credentials == "right":
            return DONE
        return USAGE if self.base_url is None else FAILED


def check(
    gateway: Annotated[str | None, Parameter(help=f"One of {GATEWAYS}; without it, all that are set up.")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print JSON lines, for machines.", show_default=False)] = False,
) -> int:
    """Find out whether the credentials in the environment are right, by asking for one customer."""
    verdicts = [_verdict(name) for name in (names() if gateway is None else (gateway,))]
    if json:
        for verdict in verdicts:
            json_line(verdict)
    else:
        _show(console(), verdicts)
    # Who works with one gateway has not failed because the others are not set up.
    counting = [verdict for verdict in verdicts if verdict.credentials != "not set up"] or verdicts
    return max(verdict.code for verdict in counting)


def _verdict(gateway: str) -> Decision:
    try:
        account = account_from_environment(gateway)
    except ConfigurationError as error:
        return Decision(gateway, "wrong" if is_set_up(gateway) else "not set up", message=str(error))
    try:
        ask(gateway, lambda session: session.check(), _IMPATIENT)
    except (AuthenticationError, PermissionDeniedError) as error:
        return Decision(gateway, "wrong", account.base_url, str(error))
    except CallError as error:
        return Decision(gateway, "unknown", account.base_url, str(error))
    return Decision(gateway, "right", account.base_url)


def _show(screen: Console, verdicts: Iterable[Decision]) -> None:
    """A table, and below it the messages, which are too long for narrow terminals."""
    table = plain_table("gateway", "credentials", "at")
    for verdict in verdicts:
        mark = Text(verdict.credentials, _STYLES[verdict.credentials])
        table.add_row(cell(verdict.gateway), mark, cell(verdict.base_url))
    screen.print(table)
    for verdict in verdicts:
        if verdict.message is not None:
            screen.print()
            screen.print(cell(verdict.message))
