"""The tables in which people read customers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import asdict
from rich import box
from rich.table import Table

from wonder_customers.cli.output import cell
from wonder_customers.records import Customer, Phone

__all__ = ["overview", "plain_table", "sheet"]


def plain_table(*columns: str) -> Table:
    """A table with a line under its head and nothing else, which survives narrow terminals and pipes."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def sheet(customer: Customer) -> Table:
    """One customer: a row for every field that holds something."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _leaves(asdict(customer)):
        table.add_row(name, cell(value))
    return table


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value):
                yield from _leaves(item, f"{path}{name}.{place}.") if isinstance(item, Mapping) else [(name, item)]
        elif value is not None and value not in ("", (), []):
            yield f"{path}{name}", value


def overview(customers: Iterable[Customer], *, narrow: bool) -> Table:
    """A page of customers, one in a line.

    Args:
        customers: Who they are.
        narrow: Leave out email and phone. What still has no room ends in dots, except the id, which is for copying.
    """
    columns = ("id", "reference", "name") if narrow else ("id", "reference", "name", "email", "phone")
    table = plain_table(*columns)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for customer in customers:
        parts = (customer.first_name, customer.last_name)
        name = customer.name or " ".join(part for part in parts if part)
        values = (customer.id, customer.reference, name, customer.email, _dialled(customer.phone))
        style = "dim strike" if customer.deleted else ""
        table.add_row(*(cell(value, style) for value in values[: len(columns)]))
        table.columns[0].min_width = max(table.columns[0].min_width or 0, len(customer.id))
    return table


def _dialled(phone: Phone | None) -> str | None:
    return None if phone is None else f"{phone.dial_code or ''} {phone.number}".strip()
