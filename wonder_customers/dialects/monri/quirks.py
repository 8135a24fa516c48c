"""The deviations from Monri's documentation that the simulated Monri can have."""

from typing import Any, Final

from wonder_customers.simulator import quirks
from wonder_customers.simulator.quirks import Quirk, SimulatedResponse

_TAKEN: Final[dict[str, Any]] = {"errors": {"merchant_customer_id": ["is in use"]}}
_TIMES: Final = ("created_at", "updated_at", "deleted_at")


def _without_nulls(response: SimulatedResponse) -> None:
    for customer in response.customers:
        for name in [name for name, value in customer.items() if value is None]:
            del customer[name]


def _only_id(response: SimulatedResponse) -> None:
    if response.method == "DELETE" or isinstance(response.body.get("data"), list):
        for body in (response.body, *response.customers):
            if body.get("uuid"):
                body["id"] = body.pop("uuid")


def _deleted_word(response: SimulatedResponse) -> None:
    if response.method == "DELETE" and response.status == 200:
        response.body = {"status": "deleted"}


def _taken(response: SimulatedResponse) -> None:
    if response.status == 400 and "taken" in str(response.body.get("message")):
        response.status, response.body = 422, dict(_TAKEN)


QUIRKS: Final = (
    quirks.LOWER_CASE_EMAIL,
    quirks.collapsed_blanks("name", "description", "address"),
    quirks.REFORMATTED_PHONE,
    quirks.booleans_as_numbers("deleted"),
    Quirk("text-as-numbers", "postcodes are numbers", quirks.change_fields(quirks.numbers, "zip_code")),
    Quirk(
        "time-form",
        "times have the format 2019-02-12 11:22:33 UTC",
        quirks.change_fields(lambda value: value.replace("T", " ").replace("Z", " UTC"), *_TIMES),
    ),
    Quirk("null-for-empty", "fields without a value are omitted", _without_nulls),
    quirks.EXTRA_FIELDS,
    Quirk("missing-envelope", "successful responses have no status", quirks.keys_removed("status")),
    Quirk("id-name", "lists and deletions have id instead of uuid", _only_id),
    Quirk("deletion-word", "the response to a deletion has the status deleted", _deleted_word),
    Quirk("taken-wording", "a duplicate reference causes HTTP 422 with an `errors` object", _taken),
    quirks.not_found_as({"error": "unknown customer"}),
)
