"""The reason of a refusal is read in any common form, and only its messages about the customer classify it."""

import email.utils
import time
from typing import Any

import pytest
from dialects.failures import create, failure, update
from gateway_responses import HEX24, UUID, monri_customer, wonder_customer
from mock_gateway import MockGateway, json_response

from wonder_customers import (
    ConflictError,
    CustomerDraft,
    GatewayError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
)
from wonder_customers.dialects.explanations import explained
from wonder_customers.dialects.json import DEPTH

FORMS: list[tuple[Any, str, dict[str, tuple[str, ...]]]] = [
    (
        {"type": "about:blank", "title": "Not valid", "status": 400, "detail": "email is too long"},
        "email is too long",
        {},
    ),
    ({"title": "Not valid", "status": 400}, "Not valid", {}),
    ({"message": ["Email bad", "Name bad"]}, "Email bad; Name bad", {}),
    ({"message": {"message": "inner", "code": "E1"}}, "inner", {}),
    ({"error": {"code": "E1", "message": "Email invalid"}}, "Email invalid", {}),
    ({"error": "invalid_client", "error_description": "Unknown client"}, "Unknown client", {}),
    ({"error": "just text"}, "just text", {}),
    ({"errors": "bad things"}, "bad things", {}),
    ({"errors": ["a", "b"]}, "a; b", {}),
    ({"errors": [{"field": "email", "message": "bad"}, {"msg": "worse"}]}, "worse (email bad)", {"email": ("bad",)}),
    ({"errors": {"metadata": {"key": ["too long"]}}}, "metadata.key too long", {"metadata.key": ("too long",)}),
    ({"errors": {"email": "bad"}, "message": "no"}, "no (email bad)", {"email": ("bad",)}),
    (
        {"errors": {"description": ["too long"], "email": "bad"}},
        "description too long; email bad",
        {"description": ("too long",), "email": ("bad",)},
    ),
    ({"errors": [{"field": "email", "description": "bad"}]}, "email bad", {"email": ("bad",)}),
    ({"errors": {"name": "is too long"}}, "name is too long", {"name": ("is too long",)}),
    (["a", {"message": "b"}], "a; b", {}),
    ("bad thing", "bad thing", {}),
    (b"Access denied for this address", "Access denied for this address", {}),
    (
        '{"errors": {"name": ["nije važeći"]}}'.encode("cp1250"),
        "name nije va\ufffde\ufffdi",
        {"name": ("nije va\ufffde\ufffdi",)},
    ),
    ({"Message": "Not authorized"}, "Not authorized", {}),
    ({"Error": {"Code": "E1", "Message": "Phone is invalid"}}, "Phone is invalid", {}),
    ({"errorCode": "E1", "errorMessage": "Phone is invalid"}, "Phone is invalid", {}),
    ({"error_code": "E1", "error_msg": "Phone is invalid"}, "Phone is invalid", {}),
    ({"errCode": "E1", "errMsg": "Phone is invalid"}, "Phone is invalid", {}),
    ({"reason": "Phone is invalid"}, "Phone is invalid", {}),
    ({"message": "Phone is invalid", "MESSAGE": "m"}, "Phone is invalid", {}),
    ({"fault": {"faultstring": "Invalid key", "detail": {"errorcode": "E1"}}}, "Invalid key", {}),
    (
        {"errors": {"reason": ["too long"], "postCode": "bad"}},
        "reason too long; postCode bad",
        {"reason": ("too long",), "postCode": ("bad",)},
    ),
]


async def test_message_of_a_refusal_is_read_in_every_common_form(gateway: str) -> None:
    for body, shown, fields in FORMS:
        error = await failure(gateway, (400, body))
        assert isinstance(error, InvalidRequestError), body
        assert error.reason.endswith(f": {shown}"), body
        assert {name: texts for name, texts in error.fields.items() if name} == fields, body


@pytest.mark.parametrize("body", [b"<html>no</html>", b"x" * 501, b"\xff\xfe", b'{"message":', b" "])
async def test_body_that_is_no_message_is_not_shown(body: bytes) -> None:
    error = await failure("monri", (400, body))
    assert error.reason == "the gateway refused the request with HTTP 400"


@pytest.mark.parametrize("leaf", ["no", None])
@pytest.mark.parametrize("key", ["message", "error", "errors", "key"])
def test_deeply_nested_refusal_is_read_in_linear_time(key: str, leaf: str | None) -> None:
    body: Any = leaf
    for _ in range(DEPTH):
        body = {key: body}
    assert (explained({"errors": body}).message or "").endswith(leaf or "")


def test_code_is_read_beside_the_message() -> None:
    assert explained({"error": {"code": "E1", "message": "no"}}).code == "E1"
    assert explained({"error": "invalid_client", "error_description": "no"}).code == "invalid_client"
    assert explained({"error": "no"}).code is None
    assert explained({"title": "Not valid", "status": 400}).code is None, "the number of problem details"


OTHERS: list[dict[str, Any]] = [
    {"message": "Merchant not found"},
    {"error": {"message": "Token Not found"}},
    {"message": "Gateway not found"},
    {"message": "Email domain does not exist"},
    {"message": "payment token does not exist"},
    {"message": "duplicate key in metadata"},
    {"message": "duplicate request, slow down"},
    {"message": "customer limit already reached"},
    {"message": "The customer is blocked and cannot be deleted"},
    {"errors": {"email": ["domain does not exist"]}},
    {"errors": {"country": ["does not exist"], "phone": ["was already verified"]}},
    {"message": "customer_email has already been taken"},
    {"message": "This phone is used by another customer"},
    {"message": "A customer with this e-mail exists"},
    {"message": 'duplicate key value violates unique constraint "index_customers_on_email"'},
    {"message": "company_id not found"},
    {"message": "Wrong parameter", "code": "NOT_FOUND"},
    {"message": "Customer address not exist"},
    {"message": "Wrong parameter", "code": "CUSTOMER_ADDRESS_NOT_FOUND"},
    {"message": "客户电话已存在"},
    {"message": "客户地址不存在"},
    {"message": "客户信息重复提交"},
]


@pytest.mark.parametrize("body", OTHERS, ids=str)
async def test_message_about_something_else_does_not_classify_a_refusal(gateway: str, body: dict[str, Any]) -> None:
    error = await failure(gateway, (400, {"resource": {"type": "customer"}, **body}))
    assert type(error) is InvalidRequestError
    if gateway != "wonder":
        refused = await failure(gateway, (400, body), operation=update)
        assert isinstance(refused, InvalidRequestError)
        assert (type(refused), set(refused.fields)) == (InvalidRequestError, set(body.get("errors", ())))


ABOUT: list[tuple[dict[str, Any], type[GatewayError]]] = [
    ({"message": "Customer not found"}, NotFoundError),
    ({"message": "Not found."}, NotFoundError),
    ({"message": "Record does not exist"}, NotFoundError),
    ({"message": "Entity not found"}, NotFoundError),
    ({"message": "Customer is already deleted"}, NotFoundError),
    ({"message": "already archived"}, NotFoundError),
    ({"message": "Couldn't find Customer"}, NotFoundError),
    ({"message": "The customer could not be found"}, NotFoundError),
    ({"message": "No customer found"}, NotFoundError),
    ({"message": "Customer has been archived"}, NotFoundError),
    ({"errors": {"merchant_customer_id": ["has already been taken"], "email": ["is invalid"]}}, ConflictError),
    ({"errors": ["Id has been taken", "Name is too long"]}, ConflictError),
    ({"message": "Reference must be unique"}, ConflictError),
    ({"message": "already exists"}, ConflictError),
    ({"message": "A customer with this merchant_customer_id exists"}, ConflictError),
    ({"message": "No customer with this reference exists"}, NotFoundError),
    ({"message": "This reference is used by another customer"}, ConflictError),
    ({"message": "customer not exist"}, NotFoundError),
    ({"message": "No customer with this id"}, NotFoundError),
    ({"message": "merchantCustomerId in use"}, ConflictError),
    ({"message": "CUSTOMER_NOT_FOUND"}, NotFoundError),
    ({"message": "Wrong parameter", "code": "CustomerNotFound"}, NotFoundError),
    ({"code": "NOT_FOUND"}, NotFoundError),
    ({"message": "客戶不存在"}, NotFoundError),
    ({"message": "客户已存在"}, ConflictError),
    ({"message": "客户已被删除"}, NotFoundError),
]


@pytest.mark.parametrize(("body", "kind"), ABOUT, ids=str)
async def test_message_about_the_customer_classifies_a_refusal(
    gateway: str, body: dict[str, Any], kind: type[GatewayError]
) -> None:
    assert type(await failure(gateway, (400, body))) is kind


@pytest.mark.parametrize("message", ["payment token does not exist", "Token not found"])
async def test_missing_token_is_not_found_for_operations_of_tokens(message: str) -> None:
    body = {"code": "E1", "message": message}
    for operation in (lambda s: s.check_payment_token(UUID, "t"), lambda s: s.delete_payment_token(UUID, "t")):
        assert type(await failure("wonder", (400, body), operation=operation)) is NotFoundError


@pytest.mark.parametrize("message", ["Payment source not found", "No such source", "Not found", "already archived"])
async def test_repeated_deletion_of_a_payment_source_is_done_at_paydock(message: str) -> None:
    missing = json_response(400, {"status": 400, "error": {"message": message}, "resource": {"type": "payment_source"}})
    async with MockGateway(json_response(503), missing).session("paydock", attempts=2) as session:
        assert (await session.raw.delete_payment_token(HEX24, HEX24)).recovered


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_repeated_deletion_of_a_deleted_customer_is_done(status: int) -> None:
    deleted = json_response(status, {"status": "invalid-request", "message": "Customer is already deleted"})
    async with MockGateway(json_response(503), deleted).session("monri", attempts=2) as session:
        assert (await session.raw.delete(UUID)).recovered
    assert type(
        await failure("monri", (status, {"message": "already deleted"}), operation=lambda s: s.delete(UUID))
    ) is (NotFoundError)


@pytest.mark.parametrize("message", ["no Route matched with those values", "Wrong Api path", "Merchant not found"])
async def test_http_404_about_something_else_is_not_certain(gateway: str, message: str) -> None:
    error = await failure(gateway, (404, {"message": message}))
    assert isinstance(error, NotFoundError)
    assert not error.certain
    if gateway == "monri":
        deletion = await failure(gateway, (404, {"message": message}), operation=lambda s: s.delete(UUID))
        assert (type(deletion), deletion.applied) == (InvalidResponseError, "unknown")


async def test_error_in_an_accepted_response_may_have_been_applied() -> None:
    """Monri's documentation separates `error` from `invalid-request`."""
    failed = json_response(200, {"status": "error", "message": "Timeout while saving"})
    missing = json_response(404, {"message": "Customer not found"})
    made = json_response(200, monri_customer(merchant_customer_id="35", name="A"))
    async with MockGateway(failed, missing, missing, failed, made).session("monri") as session:
        with pytest.raises(GatewayError, match="responded with HTTP 200 and the error error: Timeout") as caught:
            await session.create(CustomerDraft(reference="35", name="A"))
        assert (type(caught.value), caught.value.applied) == (GatewayError, "unknown")
        assert (await session.raw.create(CustomerDraft(reference="35", name="A"))).recovered
    read = await failure("monri", (200, {"status": "error"}))
    assert (read.applied, read.hint) == ("no", "Call again later.")
    error = await failure("wonder", (200, {"code": 50001, "message": "internal server error"}), operation=create)
    assert (type(error), error.applied) == (GatewayError, "unknown")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (200, 201), (201, 201)])
async def test_wonder_response_with_another_code_and_a_customer_may_have_been_applied(status: int, code: int) -> None:
    body = wonder_customer(reference_number="35") | {"code": code}
    error = await failure("wonder", (status, body), operation=create)
    assert (type(error), error.applied) == (InvalidResponseError, "unknown")
    assert f"the code in the response is {code} instead of 200" in error.reason


async def test_error_code_zero_is_no_error_at_wonder() -> None:
    async with MockGateway(wonder_customer(error_code=0) | {"error_code": 0}).session("wonder") as session:
        assert (await session.get(UUID)).id == UUID


async def test_refusal_without_status_at_monri() -> None:
    error = await failure("monri", (200, {"error": "bad"}))
    assert (type(error), error.applied) == (InvalidRequestError, "no")
    assert "the unknown status 'declined'" in (await failure("monri", (200, {"status": "declined"}))).reason


EMPTY = {"uuid": "", "name": "", "reference_number": "", "default_payment_token": None}
EMPTY_TOKEN = {"token": "", "default": False, "credit_card": {"number": ""}}
EMPTY_PARTS = EMPTY | {"default_payment_token": EMPTY_TOKEN, "created_at": "0001-01-01T00:00:00Z"}


@pytest.mark.parametrize("customer", [{}, EMPTY, EMPTY_PARTS])
async def test_empty_customer_is_not_found_at_wonder(customer: dict[str, Any]) -> None:
    body = {"code": 200, "data": {"customer": customer}}
    assert type(await failure("wonder", (200, body))) is NotFoundError
    assert type(await failure("wonder", (200, body), operation=create)) is InvalidResponseError


@pytest.mark.parametrize("data", [{"uuid": UUID, "name": "Ada"}, {"items": []}])
async def test_other_data_is_neither_an_empty_list_nor_a_missing_customer_at_wonder(data: dict[str, Any]) -> None:
    for operation in (None, lambda s: s.raw.page(), lambda s: s.list_payment_tokens(UUID)):
        error = await failure("wonder", (200, {"code": 200, "data": data}), operation=operation)
        assert type(error) is InvalidResponseError
        assert "in the response is missing" in error.reason


async def test_missing_list_with_a_total_is_not_an_empty_list_at_wonder() -> None:
    body = {"code": 200, "data": {}}
    error = await failure("wonder", (200, body), operation=lambda s: s.raw.page(), X_Total_Entries="20")
    assert type(error) is InvalidResponseError


async def test_refusal_in_another_encoding_is_certain() -> None:
    error = await failure("monri", (404, '{"message": "Customer not found: č"}'.encode("cp1250")))
    assert isinstance(error, NotFoundError)
    assert error.certain


@pytest.mark.parametrize("skew", [-300, 300])
async def test_date_of_retry_after_is_compared_with_the_clock_of_the_gateway(skew: int) -> None:
    now = time.time() + skew
    sent, until = (email.utils.formatdate(it, usegmt=True) for it in (now, now + 30))
    error = await failure("monri", (429, None), Date=sent, Retry_After=until)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 30
