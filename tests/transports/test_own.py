"""A transport of somebody's own that does not keep to the protocol: told as what it is, never taken for an answer."""

from typing import Any

import pytest
from mock_gateway import monri

from wonder_customers import (
    ConfigurationError,
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
    """Gives one answer, whatever it is."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return self.answer

    async def aclose(self) -> None:
        pass


class AtOnce(Own):
    def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return self.answer


class Delegating(Own):
    def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        return super().send(signed_request, transmission)


class Generating(Own):
    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> Any:
        yield self.answer


class Uncallable(Own):
    send = 5  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Generating, Uncallable])
def test_a_send_that_nobody_can_await_is_refused_when_the_session_is_made(kind: type[Own]) -> None:
    with pytest.raises(ConfigurationError, match=f"send must be an async method: {kind.__name__}"):
        CustomerSession(monri(), transport=kind(FOUND))


@pytest.mark.anyio
async def test_a_plain_function_may_give_what_can_be_awaited() -> None:
    async with CustomerSession(monri(), transport=Delegating(FOUND), retry=ONCE) as session:
        assert (await session.get("1")).reference == "c-1"


WRONG = [
    (Own(None), "returned NoneType instead of a HttpResponse"),
    (Own({"status": 200}), "returned dict instead of a HttpResponse"),
    (AtOnce(FOUND), "send is not async: it returned HttpResponse"),
]


@pytest.mark.parametrize(("transport", "words"), WRONG, ids=["None", "a dictionary", "at once"])
@pytest.mark.anyio
async def test_an_answer_that_is_none_leaves_a_read_unanswered_and_a_write_unknown(transport: Own, words: str) -> None:
    async with CustomerSession(monri(), transport=transport, retry=ONCE) as session:
        with pytest.raises(NoResponseError, match=words):
            await session.get("1")
        with pytest.raises(OutcomeUnknownError, match=words):
            await session.create(CustomerDraft(reference="c-1", name="Ada"))
