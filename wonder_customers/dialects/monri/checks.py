"""The checks of the library's assumptions about Monri; see `wonder_customers.dialects.checks.GatewayChecks`."""

from typing import Any, Final

from attrs import evolve

from wonder_customers.dialects.checks import Check, Observations, status_of, without_keys, wrong_key


def wrong_account(account: Any) -> Any:
    """Return `account` with a wrong key."""
    return evolve(account, merchant_key="wrong")


def _id_name(seen: Observations) -> str | None:
    items = seen.body("list", "data")
    found = [*(items if isinstance(items, list) else ()), seen.body("delete")]
    named = [it for it in found if isinstance(it, dict) and it.keys() & {"id", "uuid"}]
    return "id instead of uuid" if any("uuid" not in it for it in named) else None


def _deleted(seen: Observations) -> str | None:
    if "get_deleted" in seen.errors:
        return f"HTTP {seen.status('get_deleted')}"
    body = seen.body("get_deleted")
    return "not marked as deleted" if isinstance(body, dict) and not body.get("deleted") else None


CHECKS: Final = (
    wrong_key("digest", 401),
    Check("missing-envelope", "fields", "responses have a status", without_keys("get", (), ("status",))),
    Check("taken-wording", "duplicate-status", "a duplicate reference causes HTTP 400", status_of("duplicate", 400)),
    Check("not-found-wording", "not-found", "an unknown customer causes HTTP 404", status_of("unknown", 404)),
    Check(
        "null-for-empty",
        "null-fields",
        "absent fields are null",
        without_keys("get", (), ("description", "deleted_at")),
    ),
    Check("id-name", "id-name", "lists and deletions have a uuid", _id_name),
    Check(
        "deletion-word",
        "deletion",
        "the response to a deletion has the status approved",
        lambda seen: "the status deleted" if seen.body("delete", "status") == "deleted" else None,
    ),
    Check("deletion-kind", "deletion", "a deleted customer can be read and has deleted true", _deleted),
)
