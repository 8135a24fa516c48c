"""Monri's bearer token is fetched once, renewed in time, and never shown."""

import logging
import traceback
from typing import Any

import anyio
import httpx
import pytest
from gateway_responses import UUID
from mock_gateway import MERCHANT_KEY, MockGateway, json_response, monri_oauth

from wonder_customers import AuthenticationError, CallError, GatewayUnavailableError, InvalidResponseError


class TokenGateway(MockGateway):
    """Issues numbered tokens and accepts only the newest one."""

    def __init__(self, *, refuse: int = 0) -> None:
        super().__init__()
        self.fetched = 0
        self.refuse = refuse

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/v2/oauth":
            self.fetched += 1
            return json_response(
                200, {"status": "approved", "access_token": f"bearer-{self.fetched}", "expires_in": 3600}
            )
        if self.refuse or request.headers["authorization"] != f"Bearer bearer-{self.fetched}":
            self.refuse = max(0, self.refuse - 1)
            return json_response(401, {"status": "error", "message": "Access token is invalid or expired"})
        return json_response(200, {"status": "approved", "uuid": UUID})


async def test_concurrent_calls_fetch_one_token() -> None:
    gateway = TokenGateway()
    async with gateway.session(monri_oauth(), attempts=1) as session, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(session.get, UUID)
    assert gateway.fetched == 1
    assert len(gateway.requests) == 51


async def test_view_of_the_same_account_shares_the_token() -> None:
    gateway = TokenGateway()
    async with gateway.session(monri_oauth()) as session:
        await session.get(UUID)
        await session.for_account(monri_oauth()).get(UUID)
    assert gateway.fetched == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"status": "error", "message": "Invalid client credentials"}, AuthenticationError),
        (200, {"status": "invalid-request", "message": "no"}, AuthenticationError),
        (400, {"error": "invalid_client"}, AuthenticationError),
        (400, {"error": "Client does not exist"}, AuthenticationError),
        (404, {"message": "no Route matched with those values"}, AuthenticationError),
        (404, b"<html>", AuthenticationError),
        (409, {}, AuthenticationError),
        (200, {"status": "approved"}, InvalidResponseError),
        (200, {"status": "approved", "access_token": ""}, InvalidResponseError),
        (200, {"status": "approved", "access_token": "two words"}, InvalidResponseError),
        (200, {"status": "approved", "access_token": "a\r\nX-Evil: 1"}, InvalidResponseError),
        (200, {"status": "approved", "access_token": "tökén"}, InvalidResponseError),
        (200, {"status": "approved", "access_token": 5}, InvalidResponseError),
        (200, b"<html>", InvalidResponseError),
        (503, None, GatewayUnavailableError),
    ],
)
async def test_without_a_usable_token_no_request_is_sent(status: int, body: Any, kind: type[CallError]) -> None:
    wire = MockGateway(json_response(status, body))
    async with wire.session(monri_oauth()) as session:
        with pytest.raises(CallError) as caught:
            await session.delete(UUID)
    assert type(caught.value) is kind
    assert caught.value.applied == "no"
    assert wire.lines == ["POST /v2/oauth"]
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    for text in (shown, str(caught.value), repr(caught.value)):
        assert MERCHANT_KEY not in text


@pytest.mark.parametrize(
    ("status", "body"), [(404, {"message": "Not Found"}), (404, b"<html>"), (400, {"error": "Client does not exist"})]
)
async def test_refused_token_request_does_not_confirm_a_deletion(status: int, body: Any) -> None:
    issued = json_response(200, {"status": "approved", "access_token": "t", "expires_in": 900})
    expired = json_response(401, {"status": "error", "message": "token expired"})
    wire = MockGateway(issued, json_response(503), expired, json_response(status, body))
    async with wire.session(monri_oauth(), attempts=3) as session:
        with pytest.raises(AuthenticationError, match="no access token was issued") as caught:
            await session.delete(UUID)
    assert caught.value.applied == "unknown"
    assert wire.responses == []


async def test_token_is_not_in_logs_reprs_or_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = TokenGateway(refuse=99)
    async with gateway.session(monri_oauth()) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.get(UUID)
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        texts = (caplog.text, repr(session), repr(vars(session)), repr(session.raw), shown, repr(vars(caught.value)))
    assert len(gateway.requests) == 4
    for text in texts:
        assert "bearer-" not in text
        assert MERCHANT_KEY not in text
