"""The deviations from Wonder's documentation that the simulated Wonder can have."""

from typing import Any, Final

from wonder_customers.simulator.quirks import (
    EXTRA_FIELDS,
    LOWER_CASE_EMAIL,
    REFORMATTED_PHONE,
    Quirk,
    SimulatedResponse,
    change_fields,
    collapsed_blanks,
    keys_removed,
    numbers,
    refusals,
    smaller_pages,
)

_UNKNOWN_CUSTOMER: Final[dict[str, Any]] = {"code": "E000009", "message": "This customer does not exist"}


def _nulls(response: SimulatedResponse) -> None:
    for customer in response.customers:
        customer.update({name: None for name, value in customer.items() if value == ""})


def _in_200(response: SimulatedResponse) -> None:
    if response.status in {400, 404}:
        response.status = 200


QUIRKS: Final = (
    LOWER_CASE_EMAIL,
    collapsed_blanks("name"),
    REFORMATTED_PHONE,
    Quirk("text-as-numbers", "dial codes are numbers", change_fields(numbers, "dial_code")),
    Quirk("null-for-empty", "empty strings are null", _nulls),
    EXTRA_FIELDS,
    Quirk("missing-envelope", "successful responses have neither code nor message", keys_removed("code", "message")),
    Quirk("not-found-wording", "an unknown customer causes HTTP 400", refusals(404, 400, _UNKNOWN_CUSTOMER)),
    Quirk("refusal-in-200", "refusals with HTTP 400 or 404 have HTTP 200 instead", _in_200),
    Quirk("smaller-pages", "lists have at most 2 items", query=smaller_pages),
)
