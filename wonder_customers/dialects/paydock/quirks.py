"""The deviations from Paydock's documentation that the simulated Paydock can have."""

from datetime import datetime
from typing import Any, Final

from wonder_customers.simulator.quirks import (
    EXTRA_FIELDS,
    LOWER_CASE_EMAIL,
    REFORMATTED_PHONE,
    Quirk,
    SimulatedResponse,
    booleans_as_numbers,
    change_fields,
    collapsed_blanks,
    keys_removed,
    refusals,
    smaller_pages,
)

_UNKNOWN_CUSTOMER: Final[dict[str, Any]] = {
    "status": 400,
    "error": {"message": "Customer does not exist"},
    "resource": {"type": "customer", "data": None},
}
_OPTIONAL: Final = ("reference", "description", "company_name", "first_name", "last_name", "email", "phone", "meta")
STALE_INDEX: Final = "stale-index"
STALE_SECONDS: Final = 0.2
"""Seconds for which a new customer does not appear in lists, with the quirk `STALE_INDEX`."""


def _milliseconds(value: str) -> int:
    return round(datetime.fromisoformat(value).timestamp() * 1000)


def _nulls(response: SimulatedResponse) -> None:
    for customer in response.customers:
        customer.update({name: None for name in _OPTIONAL if name not in customer})


QUIRKS: Final = (
    LOWER_CASE_EMAIL,
    collapsed_blanks("first_name", "last_name", "description", "company_name"),
    REFORMATTED_PHONE,
    booleans_as_numbers("archived"),
    Quirk(
        "time-form", "times are Unix times in milliseconds", change_fields(_milliseconds, "created_at", "updated_at")
    ),
    Quirk("status-as-boolean", "the status of a customer is a boolean", change_fields(lambda _: True, "status")),
    Quirk("null-for-empty", "absent optional fields are null", _nulls),
    EXTRA_FIELDS,
    Quirk("missing-envelope", "successful responses have neither status nor error", keys_removed("status", "error")),
    Quirk("not-found-wording", "an unknown customer causes HTTP 400", refusals(404, 400, _UNKNOWN_CUSTOMER)),
    Quirk("smaller-pages", "lists have at most 2 items", query=smaller_pages),
    Quirk(STALE_INDEX, "new customers appear in lists only after a delay"),
)
