"""Properties of arbitrary drafts, paths and responses."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from examples import CARD, DRAFT
from gateway_responses import HEX24, UUID
from hypothesis import given
from hypothesis import strategies as st
from mock_gateway import ACCOUNTS, golden
from strategies import DRAFTS, JSON, references

from wonder_customers import (
    Address,
    Customer,
    CustomerPatch,
    InvalidRecordError,
    PaymentToken,
    VaultToken,
    WonderCustomersError,
)
from wonder_customers.dialects.base import Call, Dialect, LockReference
from wonder_customers.wire import HttpResponse

GATEWAY = pytest.mark.parametrize("gateway", ACCOUNTS)


def _calls(steps: Any) -> Call[Any]:
    """Return the first request of an operation."""
    step = next(steps)
    assert not isinstance(step, LockReference)
    call: Call[Any] = step
    return call


def _stored(gateway: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Return the response of a gateway that stores the request unchanged."""
    if gateway == "wonder":
        held = dict(sent["customer"])
        held.pop("company_name", None)
        if token := held.pop("default_payment_token", None):
            held["default_payment_token"] = {"token": token, "token_type": "CreditCard", "state": "success"}
        return {"code": 200, "message": "success", "data": {"customer": {"uuid": UUID, **held}}}
    if gateway == "paydock":
        return {"status": 201, "error": None, "resource": {"type": "customer", "data": {"_id": HEX24, **sent}}}
    return {**dict.fromkeys(golden("monri", "create_response")), "status": "approved", "uuid": UUID, **sent}


@GATEWAY
@given(data=st.data())
def test_valid_draft_is_returned_by_a_gateway_that_stores_it(gateway: str, data: st.DataObject) -> None:
    draft = data.draw(DRAFTS[gateway])
    dialect = ACCOUNTS[gateway]().dialect()
    call = _calls(dialect.create(draft))
    body = json.dumps(_stored(gateway, json.loads(call.request.body))).encode()
    customer: Customer = call.decode(HttpResponse(200, {}, body))
    assert customer.extra == {}
    assert dialect.differences(draft, customer) == ()
    for name in ("reference", "name", "first_name", "last_name", "email", "description", "metadata"):
        assert getattr(customer, name) == getattr(draft, name), name
    if gateway == "wonder":
        assert customer.phone == draft.phone
    if draft.phone is not None and customer.phone is not None:
        assert customer.phone.e164() == draft.phone.e164()
    assert customer.address == (None if draft.address == Address() else draft.address)


@GATEWAY
@given(text=references(100))
def test_value_in_a_path_does_not_change_the_path(gateway: str, text: str) -> None:
    dialect = ACCOUNTS[gateway]().dialect()
    calls = [_calls(dialect.get(text)), _calls(dialect.get_by_reference(text))]
    if gateway == "paydock":
        calls += [_calls(dialect.delete(text)), _calls(dialect.delete_payment_token(text, PaymentToken(text)))]
    plain = ACCOUNTS[gateway]().dialect()
    shapes = [_calls(plain.get("x")), _calls(plain.get_by_reference("x"))]
    if gateway == "paydock":
        shapes += [_calls(plain.delete("x")), _calls(plain.delete_payment_token("x", PaymentToken("x")))]
    for call, shape in zip(calls, shapes, strict=True):
        path, _, query = call.request.target.partition("?")
        shape_path, _, shape_query = shape.request.target.partition("?")
        assert call.request.target.isascii()
        assert len(path.split("/")) == len(shape_path.split("/"))
        for part, expected in zip(path.split("/"), shape_path.split("/"), strict=True):
            assert unquote(part) == (text if expected == "x" else expected)
        assert query.count("&") == shape_query.count("&")
        assert not set(query) & set("#+ ?/")


@GATEWAY
@given(text=st.text(st.characters()))
def test_any_text_as_id_is_sent_or_refused(gateway: str, text: str) -> None:
    dialect = ACCOUNTS[gateway]().dialect()
    for operation in (dialect.get, dialect.get_by_reference, dialect.list_payment_tokens):
        try:
            call = _calls(operation(text))
        except InvalidRecordError as error:
            shown = str(error)
        else:
            shown = ""
            call.request.target.encode("ascii")
        assert len(text) < 3 or text not in shown


OPERATIONS: dict[str, Callable[[Dialect, str], Any]] = {
    "create": lambda dialect, gateway: dialect.create(DRAFT),
    "get": lambda dialect, gateway: dialect.get(HEX24),
    "get_by_reference": lambda dialect, gateway: dialect.get_by_reference("35"),
    "update": lambda dialect, gateway: dialect.update(HEX24, CustomerPatch(name="Ada")),
    "delete": lambda dialect, gateway: dialect.delete(HEX24),
    "page": lambda dialect, gateway: dialect.page(50, None),
    "list_payment_tokens": lambda dialect, gateway: dialect.list_payment_tokens(HEX24),
    "create_payment_token": lambda dialect, gateway: dialect.create_payment_token(
        HEX24, CARD if gateway == "wonder" else VaultToken(UUID)
    ),
    "check_payment_token": lambda dialect, gateway: dialect.check_payment_token(HEX24, PaymentToken("t")),
    "delete_payment_token": lambda dialect, gateway: dialect.delete_payment_token(HEX24, PaymentToken("t")),
}


def _decode_all(gateway: str, status: int, body: bytes) -> None:
    for make in OPERATIONS.values():
        dialect = ACCOUNTS[gateway]().dialect()
        try:
            call = _calls(make(dialect, gateway))
        except WonderCustomersError:
            continue  # unsupported
        try:
            call.decode(HttpResponse(status, {}, body))
        except WonderCustomersError as error:
            str(error)


STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503, 599])


@GATEWAY
@given(status=STATUSES, body=st.binary(max_size=50) | JSON.map(lambda it: json.dumps(it).encode()))
def test_arbitrary_response_raises_only_library_errors(gateway: str, status: int, body: bytes) -> None:
    _decode_all(gateway, status, body)


KEYS = {
    "wonder": [
        ["code"],
        ["error_code"],
        ["message"],
        ["data"],
        ["data", "customer"],
        ["data", "customers"],
        ["data", "payment_token"],
        ["data", "payment_tokens"],
        ["data", "success"],
        *(["data", "customer", name] for name in ("uuid", "name", "dial_code", "phone", "default_payment_token")),
        *(["data", "payment_token", name] for name in ("token", "default", "credit_card", "state")),
    ],
    "paydock": [
        ["status"],
        ["error"],
        ["error", "message"],
        ["error", "details"],
        ["error_summary"],
        ["error_summary", "details"],
        ["error_summary", "details", "messages"],
        ["resource"],
        ["resource", "data"],
        ["resource", "count"],
        *(
            ["resource", "data", name]
            for name in ("_id", "phone", "default_source", "payment_sources", "meta", "archived", "created_at")
        ),
    ],
    "monri": [
        ["status"],
        ["message"],
        ["data"],
        *(
            [name]
            for name in ("uuid", "id", "phone", "metadata", "address", "deleted", "created_at", "merchant_customer_id")
        ),
    ],
}


@GATEWAY
@given(data=st.data(), status=STATUSES)
def test_response_with_wrong_values_raises_only_library_errors(gateway: str, data: st.DataObject, status: int) -> None:
    body: Any = golden(
        gateway, {"wonder": "create_response", "paydock": "customer_response", "monri": "create_response"}[gateway]
    )
    for path in data.draw(st.lists(st.sampled_from(KEYS[gateway]), min_size=1, max_size=3)):
        target = body
        for name in path[:-1]:
            if not isinstance(target.get(name), dict):
                target[name] = {}
            target = target[name]
        value = data.draw(JSON | st.lists(JSON.map(lambda it: {"_id": it, "uuid": it, "token": it}), max_size=2))
        target[path[-1]] = value
    _decode_all(gateway, status, json.dumps(body).encode())
