"""The deviations from Paydock's documentation that the simulated Paydock can have."""

from datetime import datetime
from typing import Any, Final

from wonder_customers.simulator import quirks
from wonder_customers.simulator.quirks import Quirk, SimulatedResponse

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
    quirks.LOWER_CASE_EMAIL,
    quirks.collapsed_blanks("first_name", "last_name", "description", "company_name"),
    quirks.REFORMATTED_PHONE,
    quirks.booleans_as_numbers("archived"),
    Quirk(
        "time-form",
        "times are Unix times in milliseconds",
        quirks.change_fields(_milliseconds, "created_at", "updated_at"),
    ),
    Quirk("status-as-boolean", "the status of a customer is a boolean", quirks.change_fields(lambda _: True, "status")),
    Quirk("null-for-empty", "absent optional fields are null", _nulls),
    quirks.EXTRA_FIELDS,
    Quirk(
        "missing-envelope", "successful responses have neither status nor error", quirks.keys_removed("status", "error")
    ),
    quirks.not_found_as(_UNKNOWN_CUSTOMER),
    quirks.SMALLER_PAGES,
    Quirk(STALE_INDEX, "new customers appear in lists only after a delay"),
)
