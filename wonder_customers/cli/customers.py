"""Commands that show, list and delete customers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import Annotated, Any, Final

from attrs import asdict
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from wonder_customers.cli.output import cell, console, json_line, plain_table, print_message
from wonder_customers.cli.runtime import run_with_session
from wonder_customers.cli.shared_options import WHOLE, Gateway, Json
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Customer, Page
from wonder_customers.session import CustomerSession

__all__ = ["delete", "get", "list"]

_FULL_WIDTH: Final = 110
"""The terminal width, in columns, from which a list shows all its columns."""

CustomerId = Annotated[str | None, Parameter(help="The customer's id at the gateway.")]
CustomerReference = Annotated[str | None, Parameter(help="Your own id for the customer, given instead of ID.")]


def get(gateway: Gateway, id: CustomerId = None, /, *, reference: CustomerReference = None, json: Json = False) -> None:
    """Show one customer, by the gateway's id or by your reference."""
    _check_one("get", id, reference)
    if id is not None:
        customer = run_with_session(gateway, lambda session: session.get(id))
    else:
        customer = run_with_session(gateway, lambda session: session.get_by_reference(str(reference)))
    if json:
        json_line(customer)
    else:
        console().print(_customer_details(customer))


def list(  # noqa: A001 - the name of the command
    gateway: Gateway,
    /,
    *,
    limit: Annotated[
        int, WHOLE, Parameter(help="The maximum number of customers to show.", validator=Number(gte=1, lte=1000))
    ] = 20,
    cursor: Annotated[str | None, Parameter(help="The cursor printed after the previous page.")] = None,
    filter: Annotated[
        tuple[str, ...],
        Parameter(
            help="A condition such as search=Ada (Paydock) or name__contains=Ada (Wonder). May be repeated.",
            show_default=False,
        ),
    ] = (),
    json: Json = False,
) -> None:
    """Show a page of customers. If there may be more, the cursor of the next page is printed on standard error."""
    conditions = _conditions(filter)

    async def page(session: CustomerSession[Any]) -> tuple[Page[Customer], str | None]:
        dialect = session.account.dialect()
        chosen = dialect.required_filter_type().parse(conditions) if conditions else None
        found = (await session.raw.page(limit, cursor, chosen)).record
        # Without a total, only an empty page ends a list. But few customers on a page are almost always the last ones.
        follows = found.total is not None or len(found.items) >= min(limit, dialect.page_limit)
        return found, found.cursor if follows else None

    found, following = run_with_session(gateway, page)
    if json:
        for customer in found.items:
            json_line(customer)
    elif found.items:
        screen = console()
        screen.print(_customer_list(found.items, narrow=screen.width < _FULL_WIDTH))
    else:
        print_message(f"No customers found at {gateway}.")
    if following is not None:
        print_message(f"There may be more customers. To list them, add --cursor {quote(following)}")


def delete(
    gateway: Gateway, id: CustomerId = None, /, *, reference: CustomerReference = None, json: Json = False
) -> None:
    """Delete (Monri) or archive (Paydock) a customer. Wonder's API has no such operation."""
    _check_one("delete", id, reference)
    result = "deleted or archived"

    async def remove(session: CustomerSession[Any]) -> None:
        nonlocal result, id
        result = getattr(session.account.dialect(), "deletion_result", result)
        if id is None and "delete" not in session.account.dialect().unsupported_operations:
            id = (await session.get_by_reference(str(reference))).id  # noqa: A001 - the name of the argument
        await session.delete(str(id))

    try:
        run_with_session(gateway, remove)
    except KeyboardInterrupt:
        customer = f"--reference {quote(str(reference))}" if id is None else quote(id)
        command = f"wonder-customers get {gateway} {customer}"
        print_message(f"The customer may have been {result}. To check, run: `{command}`.", "yellow")
        raise
    if json:
        json_line({"gateway": gateway, "id": id, "deleted": True, "result": result})
    else:
        print_message(f"{gateway}: the customer {id} was {result}.")


def _check_one(command: str, id: str | None, reference: str | None) -> None:
    if (id is None) == (reference is None):
        problem = "requires GATEWAY and ID or --reference" if id is None else "accepts ID or --reference, not both"
        raise ConfigurationError(f"`{command}` {problem}")


def _conditions(pairs: tuple[str, ...]) -> dict[str, str]:
    wrong = [pair for pair in pairs if pair.find("=") < 1]
    if wrong:
        raise ConfigurationError(f"--filter must be NAME=VALUE, not {wrong[0]!r}")
    conditions = dict(pair.split("=", 1) for pair in pairs)
    if len(conditions) < len(pairs):
        raise ConfigurationError("--filter has a condition twice. Give each condition once.")
    return conditions


def _customer_details(customer: Customer) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flatten(asdict(customer)):
        table.add_row(cell(name), cell(value))
    return table


def _flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        elif isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from _flatten(item, f"{path}{name}.{index}.") if isinstance(item, Mapping) else [(name, item)]
        elif value is not None and value not in ("", (), []):
            yield f"{path}{name}", value


def _customer_list(customers: Iterable[Customer], *, narrow: bool) -> Table:
    columns = ("id", "reference", "name") if narrow else ("id", "reference", "name", "email", "phone")
    table = plain_table(*columns)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for customer in customers:
        name = customer.name or " ".join(filter(None, (customer.first_name, customer.last_name)))
        phone = None if customer.phone is None else f"{customer.phone.dial_code or ''} {customer.phone.number}".strip()
        values = (customer.id, customer.reference, name, customer.email, phone)
        style = "dim strike" if customer.deleted else ""
        table.add_row(*(cell(value, style) for value in values[: len(columns)]))
        # Only the id is never cut, because it is needed for other commands.
        table.columns[0].min_width = max(table.columns[0].min_width or 0, len(customer.id))
    return table
