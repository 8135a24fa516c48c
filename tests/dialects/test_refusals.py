"""Every form of a refusal or an undocumented response, and the error that it raises."""

import pickle
from typing import Any

import pytest
from dialects.failures import create, failure, update
from gateway_responses import IDS, UUID
from mock_gateway import ACCOUNTS, golden

from wonder_customers import (
    AuthenticationError,
    ConflictError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

REFUSALS: dict[str, list[tuple[int, Any, type[GatewayError], str | None, str | None]]] = {
    # Wonder: `code` is a number in accepted responses and a string in refusals; older and newer names; HTTP 200.
    "wonder": [
        (400, {"code": "E000001", "message": "name is required"}, InvalidRequestError, "E000001", "name is required"),
        (
            401,
            {"code": "E000002", "message": "Invalid Credential Format."},
            AuthenticationError,
            "E000002",
            "Invalid Credential Format.",
        ),
        (403, {"error_code": "E9", "error_message": "no", "data": {}}, PermissionDeniedError, "E9", "no"),
        (404, {"code": "E000404", "message": "Customer not found", "data": None}, NotFoundError, "E000404", None),
        (400, {"code": "E1", "message": "customer does not exist"}, NotFoundError, "E1", None),
        (500, {"code": "E000003", "message": "internal error"}, GatewayUnavailableError, "E000003", None),
        (200, {"code": 400, "message": "bad phone"}, InvalidRequestError, "400", "bad phone"),
        (200, {"code": 401, "message": "who?"}, AuthenticationError, "401", "who?"),
        (200, {"code": 404, "message": "Customer not found"}, NotFoundError, "404", None),
        (200, {"code": 500, "message": "oops"}, GatewayUnavailableError, "500", "oops"),
        (200, {"code": "E000002", "message": "x", "data": {}}, AuthenticationError, "E000002", "x"),
        (400, {"code": "E000002", "message": "Invalid Credential Format."}, AuthenticationError, "E000002", None),
        (200, {"code": 50001, "message": "internal server error"}, GatewayError, "50001", "internal server error"),
        (200, {"code": "E1", "errors": {"email": ["is invalid"]}}, InvalidRequestError, "E1", "email is invalid"),
        (400, {"error": {"code": "E1", "message": "no"}}, InvalidRequestError, "E1", "no"),
        (200, {"code": 0, "message": "string"}, InvalidRequestError, "0", "string"),
        (200, {"code": 200, "error_code": "E100", "message": "", "data": {}}, InvalidRequestError, "E100", None),
        (200, {"error_code": "E100", "error_message": "older", "data": {}}, InvalidRequestError, "E100", "older"),
        (200, {"code": 404, "data": None}, NotFoundError, "404", None),
        (200, {"success": False, "message": "no good"}, InvalidRequestError, None, "no good"),
        (403, b"<html><body>Forbidden</body></html>", PermissionDeniedError, None, None),
        (502, b"<html>Bad Gateway</html>", GatewayUnavailableError, None, None),
        (503, None, GatewayUnavailableError, None, None),
        (404, ["not", "an", "object"], NotFoundError, None, None),
        (400, {"code": ["E1"], "error_code": {}, "message": "no good"}, InvalidRequestError, None, "no good"),
        (429, {"message": "slow down"}, RateLimitError, None, "slow down"),
    ],
    # Paydock: two error objects side by side. The older one is irregular.
    "paydock": [
        (404, golden("paydock", "error_not_found"), NotFoundError, "not_found", "Not found"),
        (
            400,
            golden("paydock", "error_validation"),
            InvalidRequestError,
            "validation_error",
            "param validation failed",
        ),
        (
            403,
            golden("paydock", "error_wrong_key_older"),
            PermissionDeniedError,
            None,
            "No user with provided secret key",
        ),
        (403, golden("paydock", "error_forbidden"), PermissionDeniedError, "token_required", "Access forbidden"),
        (404, golden("paydock", "error_wrong_path_older"), NotFoundError, None, "Wrong Api path"),
        (
            400,
            {
                "status": 400,
                "error": {"message": "older words", "code": "UnfulfilledCondition"},
                "error_summary": {
                    "message": "newer words",
                    "code": "unfulfilled_condition",
                    "details": {"messages": []},
                },
            },
            InvalidRequestError,
            "unfulfilled_condition",
            "newer words",
        ),
        (
            400,
            {"error": {"message": {"message": "inner", "http_status_code": 400, "errors": ["a", "b"]}}},
            InvalidRequestError,
            None,
            "inner (a; b)",
        ),
        (400, {"error": {"message": {"errors": ["a", "b"]}}}, InvalidRequestError, None, "a; b"),
        (400, {"error": "just text"}, InvalidRequestError, None, "just text"),
        (400, {"error": ["odd"]}, InvalidRequestError, None, None),
        (200, {"status": 400, "error": {"message": "hidden"}, "resource": None}, InvalidRequestError, None, "hidden"),
        (200, {"status": 404, "error_summary": {"message": "gone"}}, NotFoundError, None, "gone"),
        (200, {"status": "403", "error": None, "resource": {"data": None}}, PermissionDeniedError, None, None),
        (200, {"status": 500, "error": None, "resource": {"data": None}}, GatewayUnavailableError, None, None),
        (500, {"error": {"message": "internal"}}, GatewayUnavailableError, None, "internal"),
        (408, b"", GatewayUnavailableError, None, None),
        (499, b"", GatewayUnavailableError, None, None),
        (401, {"message": "unauthorized"}, AuthenticationError, None, None),
        (502, b"<html>", GatewayUnavailableError, None, None),
    ],
    # Monri: the `status` in the body decides, not the HTTP status.
    "monri": [
        (200, {"status": "invalid-request", "message": "no good"}, InvalidRequestError, "invalid-request", "no good"),
        (200, {"status": "error", "message": "broken"}, GatewayError, "error", "broken"),
        (200, {"status": "Error", "message": "broken"}, GatewayError, "Error", "broken"),
        (200, {"status": "invalid_request"}, InvalidRequestError, "invalid_request", None),
        (200, {"status": "error", "message": "Customer not found"}, NotFoundError, "error", None),
        (400, {"status": "error", "message": "broken"}, InvalidRequestError, "error", "broken"),
        (200, {"status": "invalid-request", "message": "Customer not found"}, NotFoundError, "invalid-request", None),
        (401, {"status": "error", "message": "Invalid digest"}, AuthenticationError, "error", "Invalid digest"),
        (404, b"", NotFoundError, None, None),
        (400, b"<html>", InvalidRequestError, None, None),
        (400, {"status": "invalid-request"}, InvalidRequestError, "invalid-request", None),
        (500, {"status": "error"}, GatewayUnavailableError, "error", None),
    ],
}


@pytest.mark.parametrize(
    ("gateway", "status", "body", "kind", "code", "message"),
    [
        pytest.param(gateway, *row, id=f"{gateway} {row[0]} {str(row[1])[:40]}")
        for gateway, rows in REFUSALS.items()
        for row in rows
    ],
)
async def test_documented_refusal_raises_the_matching_error(
    gateway: str, status: int, body: Any, kind: type[GatewayError], code: str | None, message: str | None
) -> None:
    error = await failure(gateway, (status, body))
    assert type(error) is kind
    assert isinstance(error, GatewayError)
    assert error.code == code
    if message is not None:
        assert error.message == message
        assert message in str(error)
    assert error.status == (status if status >= 400 else error.status)
    assert 400 <= error.status <= 599
    assert error.applied == "no"
    assert (error.attempts, error.operation, error.id) == (1, "get", IDS[gateway])


FIELD = {"param_name": "phone"}
NO_FUNDS = {"gateway_specific_code": "51", "gateway_specific_description": "no funds"}
DECLINED = {"gateway_specific_code": "2", "gateway_specific_description": "declined"}
MIXED = "no (2: declined; phone: 51: no funds)"


@pytest.mark.parametrize(
    ("details", "message", "reason", "fields"),
    [
        ({"path": "id", "messages": ["must be an id"]}, "no", "no (must be an id)", {"id": ("must be an id",)}),
        ({"path": 5, "messages": [None, 7]}, "no", "no (5 7)", {"5": ("7",)}),
        ({"path": "", "messages": []}, "no", "no", {}),
        (None, "no", "no", {}),
        ("odd", "no (odd)", "no (odd)", {"": ("odd",)}),
        (["first", "second"], "no (first; second)", "no (first; second)", {"": ("first", "second")}),
        ([FIELD | NO_FUNDS, DECLINED], MIXED, MIXED, {"phone": ("51: no funds",), "": ("2: declined",)}),
        (NO_FUNDS, "no (51: no funds)", "no (51: no funds)", {"": ("51: no funds",)}),
        (
            {"messages": [{"status_code": "pending", "description": None}]},
            "no (pending)",
            "no (pending)",
            {"": ("pending",)},
        ),
        ([FIELD | {"description": "is invalid"}], "no", "no (phone is invalid)", {"phone": ("is invalid",)}),
        ([FIELD | NO_FUNDS], "no (phone: 51: no funds)", "no (phone: 51: no funds)", {"phone": ("51: no funds",)}),
    ],
    ids=str,
)
async def test_paydock_error_details_are_read_in_every_form(
    details: Any, message: str, reason: str, fields: dict[str, tuple[str, ...]]
) -> None:
    for name in ("error", "error_summary"):
        body = {"status": 400, name: {"message": "no", "details": details}}
        error = await failure("paydock", (400, body))
        assert isinstance(error, InvalidRequestError)
        assert (error.message, error.fields) == (message, fields)
        assert error.reason.endswith(f": {reason}")


OLDER_DETAILS = {
    "error": {"message": "bad", "details": {"path": "phone", "messages": ["is invalid"]}},
    "error_summary": {"message": "bad", "code": "validation_error", "details": {"messages": []}},
}
NESTED_ERRORS = {
    "error": {"message": {"message": "bad", "errors": [{"param_name": "phone", "description": "is invalid"}]}}
}


@pytest.mark.parametrize("body", [OLDER_DETAILS, NESTED_ERRORS], ids=["older details", "nested errors"])
async def test_paydock_fields_are_read_from_the_older_error(body: dict[str, Any]) -> None:
    error = await failure("paydock", (400, {"status": 400, **body}))
    assert isinstance(error, InvalidRequestError)
    assert (error.message, error.fields) == ("bad", {"phone": ("is invalid",)})


UNDOCUMENTED_RESPONSES: list[tuple[str, int, Any]] = [
    (gateway, status, body)
    for gateway in ACCOUNTS
    for status, body in [
        (200, b""),
        (200, b"  \n"),
        (200, b"<!doctype html><title>Maintenance</title>"),
        (200, [1, 2]),
        (200, "text"),
        (200, 5),
        (200, b"null"),
        (200, b"\xff\xfe"),
        (200, b'{"code": 200, "status": "approved"'),
        (200, {}),
        (302, b""),
        (301, {"code": 200}),
        (307, b"<html>"),
    ]
] + [
    ("wonder", 200, {"code": 200, "message": "success", "data": None}),
    ("wonder", 200, {"code": 200, "message": "success"}),
    ("wonder", 200, {"code": 200, "data": []}),
    ("wonder", 200, {"code": [], "data": {}}),
    ("wonder", 200, {"code": {"a": 1}, "data": {}}),
    ("wonder", 200, {"code": True, "data": {}}),
    ("wonder", 200, {"code": "SUCCESS", "data": {"customer": {"uuid": UUID}}}),
    ("wonder", 200, {"code": 200, "data": {"customer": []}}),
    ("wonder", 200, {"code": 200, "data": {"customer": "Ada"}}),
    ("paydock", 200, {"status": 200, "error": None}),
    ("paydock", 200, {"status": 200, "error": None, "resource": []}),
    ("paydock", 200, {"status": 200, "error": None, "resource": {"type": "customer", "data": "Ada"}}),
    ("monri", 200, {"status": ["approved"]}),
    ("monri", 200, {"status": "frozen", "uuid": UUID}),
    ("monri", 200, {"status": {"a": 1}, "uuid": UUID}),
    ("monri", 200, {"status": "approved", "uuid": None}),
    ("monri", 200, {"status": "approved", "uuid": 5}),
]


CREATE_REQUESTS = {"wonder": 1, "paydock": 2, "monri": 2}
"""The requests of a create whose response cannot be read: Paydock's and Monri's are looked up."""


@pytest.mark.parametrize(
    ("gateway", "status", "body"),
    UNDOCUMENTED_RESPONSES,
    ids=[f"{it[0]} {it[1]} {str(it[2])[:40]}" for it in UNDOCUMENTED_RESPONSES],
)
async def test_undocumented_response_raises_and_leaves_writes_unknown(gateway: str, status: int, body: Any) -> None:
    read = await failure(gateway, (status, body))
    assert isinstance(read, InvalidResponseError)
    assert read.status == status
    assert read.applied == "no"
    assert "Before you repeat" not in str(read)
    written = await failure(gateway, *[(status, body)] * CREATE_REQUESTS[gateway], operation=create)
    assert isinstance(written, InvalidResponseError)
    assert written.applied == "unknown"
    assert "Before you repeat the call, read the customer." in str(written)


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        ("wonder", {"code": 200, "data": {"customer": None}}),
        ("wonder", {"code": 200, "data": {}}),
        ("paydock", {"status": 200, "error": None, "resource": {"type": "customer", "data": None}}),
    ],
)
async def test_accepted_response_without_customer_is_not_found_for_reads_only(gateway: str, body: Any) -> None:
    assert isinstance(await failure(gateway, (200, body)), NotFoundError)
    written = await failure(gateway, *[(200, body)] * CREATE_REQUESTS[gateway], operation=create)
    assert isinstance(written, InvalidResponseError)
    assert written.applied == "unknown"


@pytest.mark.parametrize("message", ["Merchant customer has already been taken", "merchant_customer_id duplicate"])
async def test_monri_http_400_for_a_taken_reference_is_a_conflict(message: str) -> None:
    error = await failure("monri", (400, {"status": "invalid-request", "message": message}), operation=create)
    assert type(error) is ConflictError
    assert (error.applied, error.reference) == ("no", "35")


@pytest.mark.parametrize("kind", ["payment_source", "customer", "token", None, ["customer"], {"a": 1}], ids=str)
@pytest.mark.parametrize("status", [400, 404])
async def test_paydock_create_refused_for_its_token_is_not_a_missing_customer(kind: Any, status: int) -> None:
    details = {"messages": ["No Tokens found with provided id"]}
    summary = {"message": "Token Not found", "code": "unspecified_error", "details": details}
    resource = {"resource": {"type": kind, "data": None}} if kind else {}
    error = await failure(
        "paydock", (status, {"status": status, "error_summary": summary, **resource}), operation=create
    )
    assert type(error) is InvalidRequestError
    assert error.message == "Token Not found (No Tokens found with provided id)"
    assert error.applied == "no"


@pytest.mark.parametrize("message", ["Not found", "Gateway not found", "Payment token not found"])
async def test_create_is_never_refused_as_not_found(gateway: str, message: str) -> None:
    body = {"code": "E1", "status": "invalid-request", "message": message}
    for status in (400, 404):
        error = await failure(gateway, (status, body), operation=create)
        assert type(error) is InvalidRequestError
        assert error.applied == "no"


@pytest.mark.parametrize(
    ("status", "meaning"), [(423, "the resource is locked"), (425, "the gateway was not ready for the request")]
)
async def test_temporary_refusal_does_not_report_the_request_as_the_cause(
    gateway: str, status: int, meaning: str
) -> None:
    for operation in (None, create):
        error = await failure(gateway, (status, None), operation=operation)
        assert type(error) is GatewayError
        assert (error.applied, error.status) == ("no", status)
        assert f"({meaning})" in error.reason
        assert "The request does not need a correction" in str(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("status", [405, 407, 421, 426])
async def test_refusal_by_a_proxy_does_not_ask_for_another_record(status: int) -> None:
    for gateway in ACCOUNTS:
        error = await failure(gateway, (status, None), operation=create)
        assert (type(error), error.hint.partition(" and ")[0]) == (InvalidRequestError, "Check base_url")


async def test_http_409_is_a_conflict_whose_causes_depend_on_the_operation() -> None:
    for gateway in ACCOUNTS:
        error = await failure(gateway, (409, None), operation=create)
        assert (type(error), "Call upsert" in error.hint) == (ConflictError, True)
    error = await failure("monri", (409, None), operation=update)
    assert type(error) is ConflictError
    assert "another change of the customer is in progress" in error.hint


@pytest.mark.parametrize(
    ("gateway", "body", "expected"),
    [
        ("monri", {"status": "invalid-request", "message": "no"}, "HTTP 200 and the error invalid-request: no"),
        ("paydock", {"status": 400, "error": {"message": "no"}}, "HTTP 200 and an error: no"),
        ("wonder", {"code": 404, "message": "no"}, "HTTP 200 and the error 404: no"),
    ],
    ids=["monri", "paydock", "wonder"],
)
async def test_refusal_in_a_response_with_http_200_names_the_received_status(
    gateway: str, body: dict[str, Any], expected: str
) -> None:
    error = await failure(gateway, (200, body))
    assert isinstance(error, GatewayError)
    assert error.status in {400, 404}
    assert error.reason == f"the gateway refused the request with {expected}"
