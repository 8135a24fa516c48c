"""The deviations from Wonder's documentation that the simulated Wonder can have."""

from typing import Final

from wonder_customers.simulator import quirks
from wonder_customers.simulator.quirks import Quirk, SimulatedResponse


def _nulls(response: SimulatedResponse) -> None:
    for customer in response.customers:
        customer.update({name: None for name, value in customer.items() if value == ""})


def _in_200(response: SimulatedResponse) -> None:
    if response.status in {400, 404}:
        response.status = 200


QUIRKS: Final = (
    quirks.LOWER_CASE_EMAIL,
    quirks.collapsed_blanks("name"),
    quirks.REFORMATTED_PHONE,
    Quirk("text-as-numbers", "dial codes are numbers", quirks.change_fields(quirks.numbers, "dial_code")),
    Quirk("null-for-empty", "empty strings are null", _nulls),
    quirks.EXTRA_FIELDS,
    Quirk(
        "missing-envelope", "successful responses have neither code nor message", quirks.keys_removed("code", "message")
    ),
    quirks.not_found_as({"code": "E000009", "message": "This customer does not exist"}),
    Quirk("refusal-in-200", "refusals with HTTP 400 or 404 have HTTP 200 instead", _in_200),
    quirks.SMALLER_PAGES,
)
