"""Tables of customers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import asdict
from rich import box
from rich.table import Table

from wonder_customers.cli.output import cell
from wonder_customers.records import Customer

__all__ = ["customer_details", "customer_list", "plain_table"]


def plain_table(*columns: str) -> Table:
    """Return an empty table."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def customer_details(customer: Customer) -> Table:
    """Return a table of the fields of a customer."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flatten(asdict(customer)):
        table.add_row(name, cell(value))
    return table


def _flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from _flatten(item, f"{path}{name}.{index}.") if isinstance(item, Mapping) else [(name, item)]
        elif value is not None and value not in ("", (), []):
            yield f"{path}{name}", value


def customer_list(customers: Iterable[Customer], *, narrow: bool) -> Table:
    """Return a table of customers."""
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
