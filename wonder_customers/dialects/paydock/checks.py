"""The checks of the library's assumptions about Paydock; see `wonder_customers.dialects.checks.GatewayChecks`."""

from typing import Final

from wonder_customers.dialects.checks import Check, Observations, status_of, without_keys, without_nulls, wrong_key

NOT_IN_EXTRA: Final = frozenset(
    {"__v", "_source_ip_address", "company_id", "user_id", "statistics", "_service", "_check_expire_date"}
)


def _second_customer(seen: Observations) -> str | None:
    return seen.errors["duplicate"].reason if "duplicate" in seen.errors else None


CHECKS: Final = (
    wrong_key("credentials", 401, 403),
    Check("create-status", "create", "a create has HTTP status 201", status_of("create", 201)),
    Check(
        "missing-envelope",
        "envelope",
        "successful responses have status, error and resource",
        without_keys("create", (), ("status", "error", "resource")),
    ),
    Check("unique-reference", "reference", "a second create with the reference is accepted", _second_customer),
    Check("not-found-wording", "not-found", "an unknown customer causes HTTP 404", status_of("unknown", 404)),
    Check(
        "null-for-empty",
        "customer-fields",
        "fields without a value are absent",
        without_nulls("create", "resource", "data"),
    ),
    Check(
        "no-echo",
        "echo",
        "responses repeat reference and description",
        without_keys("create", ("resource", "data"), ("reference", "description")),
        "After a create without a response, the missing fields count as differences, and ConflictError is raised.",
    ),
    Check(
        "no-count",
        "paging",
        "a list has count, limit and skip",
        without_keys("list", ("resource",), ("count", "limit", "skip")),
    ),
)
