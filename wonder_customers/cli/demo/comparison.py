"""Comparison of a customer with the cells of a CSV row, independent of the library's own comparison."""

from collections.abc import Iterator, Mapping

from wonder_customers.records import Customer

__all__ = ["changed_fields"]

_WRITE_ONLY = {("wonder", "company_name")}
"""Fields that a gateway accepts but does not return in any documented response."""


def changed_fields(gateway: str, cells: Mapping[str, str], customer: Customer) -> tuple[str, ...]:
    """Return the columns whose cell differs from the customer."""
    actual = dict(_customer_fields(customer))
    expected = {name: text.strip() for name, text in cells.items() if text and (gateway, name) not in _WRITE_ONLY}
    parts = ("first_name", "last_name")
    if customer.last_name is None:
        # The gateway has a single name field: it must contain the parts in their order.
        found = [expected.pop(part) for part in parts if part in expected]
        if found:
            expected["name"] = " ".join(found)
    elif "name" in expected:
        expected.pop("name")
    if "phone" in expected:
        expected["phone"] = _digits(expected["phone"])
    return tuple(name for name, text in expected.items() if actual.get(name) != text)


def _customer_fields(customer: Customer) -> Iterator[tuple[str, str | None]]:
    yield "name", customer.name or customer.first_name
    for name in ("reference", "first_name", "last_name", "email", "company_name", "description"):
        yield name, getattr(customer, name)
    if customer.phone is not None:
        yield "phone", _digits(f"{customer.phone.dial_code or ''}{customer.phone.number}")
    for name, value in (customer.metadata or {}).items():
        yield f"metadata.{name}", value
    if customer.address is not None:
        for part in ("line1", "city", "postcode", "country"):
            yield f"address.{part}", getattr(customer.address, part)


def _digits(phone: str) -> str:
    return "".join(filter(str.isdecimal, phone))
