"""The checks of the library's assumptions about Wonder; see `wonder_customers.dialects.checks.GatewayChecks`."""

from typing import Any, Final

from attrs import evolve

from wonder_customers.dialects.checks import (
    NOT_HANDLED,
    Check,
    Observations,
    refused_with,
    status_of,
    without_keys,
    without_nulls,
    wrong_key,
)
from wonder_customers.records import CardSource

PAYMENT_SOURCE: Final = CardSource(
    number="4111111111111111",
    expire_month="12",
    expire_year="2034",
    holder_name="Probe",
    cvv="123",
    transaction_type="recurring_payment",
    success_return_url="https://shop.example/ok",
    fail_return_url="https://shop.example/no",
)
"""The test card of the documentation."""


def wrong_account(account: Any) -> Any:
    """Return `account` with an unknown AppID."""
    return evolve(account, app_id="00000000-0000-4000-8000-000000000000")


def _refusal(seen: Observations) -> str | None:
    return "HTTP 200" if seen.status("unknown") == 200 else None


def _same_customer(seen: Observations) -> str | None:
    ids = [seen.body(it, "data", "customer", "uuid") for it in ("create", "duplicate")]
    return refused_with("duplicate")(seen) or (None if ids[0] == ids[1] else "another uuid")


def _no_total(seen: Observations) -> str | None:
    found = seen.responses.get("list")
    return "the header is missing" if found and "x-total-entries" not in found[-1].headers else None


def _token_left(seen: Observations) -> str | None:
    if "delete_token" in seen.errors:
        return seen.errors["delete_token"].reason
    token = seen.body("create_token", "data", "payment_token", "token")
    listed = seen.body("delete_token", "data", "payment_tokens")
    left = [it.get("token") for it in listed if isinstance(it, dict)] if isinstance(listed, list) else []
    return "the deleted token is listed" if token in left else None


CHECKS: Final = (
    wrong_key("headers", 401, 403),
    Check("second-customer", "upsert", "a second create keeps the uuid", _same_customer, NOT_HANDLED),
    Check(
        "missing-envelope",
        "refusal-in-200",
        "successful responses have code and message",
        without_keys("create", (), ("code", "message")),
    ),
    Check("refusal-in-200", "refusal-in-200", "an unknown customer does not cause HTTP 200", _refusal),
    Check("not-found-wording", "not-found", "an unknown customer causes HTTP 404", status_of("unknown", 404, 200)),
    Check(
        "null-for-empty",
        "omitted-fields",
        "fields without a value are empty strings",
        without_nulls("create", "data", "customer"),
    ),
    Check("token-refused", "card-encryption", "a card is stored as a token", refused_with("create_token"), NOT_HANDLED),
    Check("token-check", "tokens", "the state of a token can be read", refused_with("check_token"), NOT_HANDLED),
    Check("token-left", "token-paths", "a deleted token is not listed", _token_left, NOT_HANDLED),
    Check("no-total", "total", "a list has X-Total-Entries", _no_total),
)
