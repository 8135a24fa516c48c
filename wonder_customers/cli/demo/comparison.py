"""What a gateway holds, held against the CSV's cells: a second opinion that uses none of the library's converters."""

from collections.abc import Iterator, Mapping

from wonder_customers.records import Customer

__all__ = ["changed_fields"]

_NEVER_SHOWN = {("wonder", "company_name")}
"""What a gateway takes and has in none of its documented answers, so that nobody can read it back."""


def changed_fields(gateway: str, cells: Mapping[str, str], customer: Customer) -> tuple[str, ...]:
    """The columns whose cell the customer does not repeat.

    Args:
        gateway: Who holds the customer.
        cells: The row of the CSV, without the columns that were left out for this gateway.
        customer: What was read back.
    """
    held = dict(_held(customer))
    expected = {name: text.strip() for name, text in cells.items() if text and (gateway, name) not in _NEVER_SHOWN}
    parts = ("first_name", "last_name")
    if customer.last_name is None:
        # The gateway has one name: the parts must be in it, in their order.
        given = [expected.pop(part) for part in parts if part in expected]
        if given:
            expected["name"] = " ".join(given)
    elif "name" in expected:
        expected.pop("name")
    if "phone" in expected:
        expected["phone"] = _digits(expected["phone"])
    return tuple(name for name, text in expected.items() if held.get(name) != text)


def _held(customer: Customer) -> Iterator[tuple[str, str | None]]:
    yield "reference", customer.reference
    yield "name", customer.name or customer.first_name
    yield "first_name", customer.first_name
    yield "last_name", customer.last_name
    yield "email", customer.email
    if customer.phone is not None:
        yield "phone", _digits(f"{customer.phone.dial_code or ''}{customer.phone.number}")
    yield "company_name", customer.company_name
    yield "description", customer.description
    for name, value in (customer.metadata or {}).items():
        yield f"metadata.{name}", value
    if customer.address is not None:
        for part in ("line1", "city", "postcode", "country"):
            yield f"address.{part}", getattr(customer.address, part)


def _digits(phone: str) -> str:
    return "".join(filter(str.isdecimal, phone))
