"""A transport given by the caller that violates the protocol is reported as such."""

from typing import Any

import pytest
from mock_gateway import monri

from wonder_customers import (
    CustomerDraft,
    CustomerSession,
    NoResponseError,
    OutcomeUnknownError,
    RetryPolicy,
)
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

ONCE = RetryPolicy(attempts=1)
FOUND = HttpResponse(200, {}, b'{"uuid": "1", "merchant_customer_id": "c-1"}')


class Own:
    """A transport that returns one value."""

    def __init__(self, result: Any) -> None:
        self.result = result

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return self.result

    async def aclose(self) -> None:
        pass


class AtOnce(Own):
    def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return self.result


class Delegating(Own):
    def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return super().send(signed_request, transmission)


class Generating(Own):
    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        yield self.result


async def test_regular_function_may_return_an_awaitable() -> None:
    async with CustomerSession(monri(), transport=Delegating(FOUND), retry=ONCE) as session:
        assert (await session.get("1")).reference == "c-1"


WRONG = [
    (Own(None), "returned NoneType instead of HttpResponse"),
    (Own({"status": 200}), "returned dict instead of HttpResponse"),
    (AtOnce(FOUND), "returned HttpResponse instead of an awaitable"),
    (Generating(FOUND), "returned async_generator instead of an awaitable"),
    (Own(HttpResponse("200", {}, b"{}")), "are str and bytes, not int and bytes"),  # type: ignore[arg-type]
    (Own(HttpResponse(200, {}, "{}")), "are int and str, not int and bytes"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("transport", "words"), WRONG, ids=["None", "a dictionary", "at once", "generator", "status", "text"]
)
async def test_invalid_result_is_no_response_to_a_read_and_unknown_for_a_write(transport: Own, words: str) -> None:
    async with CustomerSession(monri(), transport=transport, retry=ONCE) as session:
        with pytest.raises(NoResponseError, match=words):
            await session.get("1")
        with pytest.raises(OutcomeUnknownError, match=words):
            await session.create(CustomerDraft(reference="c-1", name="Ada"))
