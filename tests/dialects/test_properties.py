"""Properties of arbitrary drafts, paths and responses."""

import json
from typing import Any
from urllib.parse import unquote

from gateway_responses import HEX24, UUID
from hypothesis import given
from hypothesis import strategies as st
from mock_gateway import ACCOUNTS, golden
from strategies import DRAFTS, references

from wonder_customers import Address, Customer, InvalidRecordError, PaymentToken
from wonder_customers.dialects.base import Call, LockCustomer
from wonder_customers.wire import HttpResponse


def _calls(steps: Any) -> Call[Any]:
    """Return the first request of an operation."""
    step = next(steps)
    assert not isinstance(step, LockCustomer)
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


@given(data=st.data())
def test_valid_draft_is_returned_by_a_gateway_that_stores_it(gateway: str, data: st.DataObject) -> None:
    draft = data.draw(DRAFTS[gateway])
    dialect = ACCOUNTS[gateway]().dialect()
    call = _calls(dialect.create(draft))
    body = json.dumps(_stored(gateway, json.loads(call.request.body))).encode()
    customer: Customer = call.decode(HttpResponse(200, {}, body))
    assert customer.extra == {}
    assert dialect.compare(draft, customer).different == ()
    for name in ("reference", "name", "first_name", "last_name", "email", "description", "metadata"):
        assert getattr(customer, name) == getattr(draft, name), name
    if gateway == "wonder":
        assert customer.phone == draft.phone
    if draft.phone is not None and customer.phone is not None:
        assert customer.phone.e164() == draft.phone.e164()
    assert customer.address == (None if draft.address == Address() else draft.address)


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
