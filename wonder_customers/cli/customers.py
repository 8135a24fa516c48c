"""The commands that read and delete single customers."""

from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from wonder_customers.cli.accounts import GATEWAYS
from wonder_customers.cli.asking import ask
from wonder_customers.cli.output import console, json_line, say
from wonder_customers.cli.tables import overview, sheet
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Customer, Page
from wonder_customers.session import CustomerSession

__all__ = ["delete", "get", "list"]

Gateway = Annotated[str, Parameter(help=f"One of {GATEWAYS}.")]
Json = Annotated[bool, Parameter(help="Print JSON lines, for machines.", show_default=False)]

_WIDE_ENOUGH: Final = 110
"""Terminal columns in which every column of a page of customers has room."""


def get(
    gateway: Gateway,
    id: Annotated[str | None, Parameter(help="The gateway's own id.")] = None,
    /,
    *,
    reference: Annotated[str | None, Parameter(help="Your own id instead.")] = None,
    json: Json = False,
) -> None:
    """Show one customer, by the gateway's id or by your reference."""
    if (id is None) == (reference is None):
        raise ConfigurationError("get needs either an ID or --reference R")
    if id is not None:
        customer = ask(gateway, lambda session: session.get(id))
    else:
        customer = ask(gateway, lambda session: session.get_by_reference(str(reference)))
    if json:
        json_line(customer)
    else:
        console().print(sheet(customer))


def list(  # noqa: A001 - the command is called so
    gateway: Gateway,
    /,
    *,
    limit: Annotated[int, Parameter(help="Customers on a page.", validator=Number(gte=1, lte=1000))] = 20,
    cursor: Annotated[str | None, Parameter(help="Where the page before ended.")] = None,
    filter: Annotated[
        tuple[str, ...],
        Parameter(help="The gateway's own query parameter, NAME=VALUE; may be repeated.", show_default=False),
    ] = (),
    json: Json = False,
) -> None:
    """Show a page of customers. What goes on after it is told on standard error."""
    filters = _filters(filter)

    async def page(session: CustomerSession[Any]) -> Page[Customer]:
        return (await session.raw.page(limit, cursor, filters)).record

    found = ask(gateway, page)
    if json:
        for customer in found.items:
            json_line(customer)
    elif found.items:
        screen = console()
        screen.print(overview(found.items, narrow=screen.width < _WIDE_ENOUGH))
    else:
        say(f"{gateway} holds no such customers.")
    if found.cursor is not None:
        say(f"There may be more: add --cursor {found.cursor}")


def delete(
    gateway: Gateway, id: Annotated[str, Parameter(help="The gateway's own id.")], /, *, json: Json = False
) -> None:
    """Delete (Monri) or archive (Paydock) a customer. Wonder knows no way to."""
    try:
        ask(gateway, lambda session: session.delete(id))
    except KeyboardInterrupt:
        say(f"It may have been deleted: `wonder-customers get {gateway} {id}` shows it.", "yellow")
        raise
    if json:
        json_line({"gateway": gateway, "id": id, "deleted": True})
    else:
        say(f"{gateway}: {id} is deleted.")


def _filters(pairs: tuple[str, ...]) -> dict[str, str]:
    wrong = [pair for pair in pairs if not pair.partition("=")[1]]
    if wrong:
        raise ConfigurationError(f"--filter takes NAME=VALUE, not {wrong[0]!r}")
    return dict(pair.split("=", 1) for pair in pairs)
