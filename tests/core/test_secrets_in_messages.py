"""Secrets that functions return are not shown in the messages of a gateway, in request ids or in events."""

from typing import Any

import pytest
from error_checks import visible_text
from mock_gateway import MockGateway, json_response

from scripted_transport import draft, make_harness, respond
from wonder_customers import CallError, Monri
from wonder_customers._core.observers import ObserverGroup

pytestmark = pytest.mark.anyio

HIDDEN = "s3cr3t-k3y"


async def test_gateway_message_does_not_show_a_provided_secret() -> None:
    it = make_harness(
        respond(400, {"status": "invalid-request", "message": f"key {HIDDEN}-fetched is wrong"}, x_request_id="r-9"),
        account=Monri(lambda: f"{HIDDEN}-fetched", "token"),
    )
    with pytest.raises(CallError) as caught:
        await it.create(draft())
    assert HIDDEN not in visible_text(caught.value)
    assert caught.value.request_id == "r-9"


async def test_later_messages_do_not_show_a_replaced_secret() -> None:
    values = iter([f"{HIDDEN}-old", f"{HIDDEN}-new"])
    echo = {"status": "invalid-request", "message": f"{HIDDEN}-old was replaced by {HIDDEN}-new"}
    account = Monri(lambda: next(values), "token")
    it = make_harness(respond(401, {}), respond(429, {}), respond(400, echo), account=account)
    with pytest.raises(CallError) as caught:
        await it.create(draft())
    assert HIDDEN not in visible_text(caught.value)


async def test_message_does_not_show_a_key_that_was_replaced_during_the_token_request() -> None:
    values = iter([f"{HIDDEN}-old", f"{HIDDEN}-new"])
    echo = {"status": "invalid-request", "message": f"{HIDDEN}-old was replaced by {HIDDEN}-new"}
    account = Monri(lambda: next(values), "token", auth="oauth")
    token = respond(200, {"status": "approved", "access_token": "t-1", "expires_in": 900})
    it = make_harness(respond(401, {}), token, respond(400, echo), account=account)
    with pytest.raises(CallError) as caught:
        await it.create(draft())
    assert HIDDEN not in visible_text(caught.value)


async def test_request_id_of_a_response_does_not_show_a_provided_secret() -> None:
    events: list[Any] = []
    step = respond(404, {"message": "Customer not found"}, x_request_id=f"id-{HIDDEN}")
    it = make_harness(step, account=Monri(lambda: HIDDEN, "token"))
    it.executor.observers = ObserverGroup([events.append])
    with pytest.raises(CallError) as caught:
        await it.get("0b0f1f83-4e24-4f8a-8f0a-6d6d0c3b7a4d")
    assert events
    assert HIDDEN not in repr((events, caught.value.history))


@pytest.mark.parametrize("value", ["Bearer {}", "session={}; theme=dark", 'Token token="{}"', "user:{}", "a/{},b"])
async def test_message_does_not_show_a_secret_in_an_additional_header(value: str) -> None:
    echo = {"status": "invalid-request", "message": f"X-Tenant: Bearer {HIDDEN} of the customer is wrong in region eu"}
    gateway = MockGateway(json_response(400, echo))
    async with gateway.session(Monri("key", "token")) as session:
        view = session.with_options(
            headers={"X-Tenant": value.format(HIDDEN), "X-Region": "eu", "X-App": "Customer sync"}
        )
        with pytest.raises(CallError, match="Bearer … of the customer is wrong in region eu") as caught:
            await view.create(draft())
    assert HIDDEN not in visible_text(caught.value)
    assert HIDDEN not in repr(vars(view))  # as tools that record local variables show it
