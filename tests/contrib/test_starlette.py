"""The Starlette integration, with a session that sends nothing."""

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from wonder_customers import (
    AmbiguousReferenceError,
    AuthenticationError,
    BulkError,
    ConfigurationError,
    ConflictError,
    CustomerSession,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    MissingExtraError,
    Monri,
    NoResponseError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    Paydock,
    PermissionDeniedError,
    RateLimitError,
    SessionClosedError,
    UnsupportedOperationError,
    Violation,
    WonderCustomersError,
)
from wonder_customers.contrib.problems import problem
from wonder_customers.contrib.starlette import (
    ClientDisconnected,
    app_session,
    cancel_on_disconnect,
    customer_lifespan,
    customer_session,
    install_error_handlers,
    problem_response,
)

ACCOUNT = Monri("key", "token")
FROM_A_PROXY = NotFoundError("secret words", status=404)
FROM_A_PROXY.certain = False
ANSWERS: list[tuple[WonderCustomersError, int]] = [
    (InvalidRecordError("monri", [Violation("name", "name", "must have 1 to 50 characters")]), 422),
    (InvalidRequestError("secret words", status=400), 422),
    (NotFoundError("secret words", status=404), 404),
    (ConflictError("secret words", status=409), 409),
    (AmbiguousReferenceError("secret words"), 409),
    (UnsupportedOperationError("monri", "create_payment_token", "why"), 501),
    (RateLimitError("secret words", status=429, retry_after=2.2), 503),
    (GatewayUnavailableError("secret words", status=500, applied="unknown"), 503),
    (NotSentError("secret words"), 503),
    (SessionClosedError("secret words"), 503),
    (DeadlineExceededError("secret words"), 504),
    (NoResponseError("secret words"), 504),
    (OutcomeUnknownError("secret words", applied="unknown", request_id="r-1"), 504),
    (AuthenticationError("secret words", status=401), 502),
    (PermissionDeniedError("secret words", status=403), 502),
    (InvalidResponseError("secret words"), 502),
    (FROM_A_PROXY, 502),
    (ConfigurationError("secret words"), 500),
    (MissingExtraError("this", ["secret words"], "fast"), 500),
    (BulkError("secret words"), 500),
]


@pytest.mark.parametrize(("error", "status"), ANSWERS, ids=lambda it: type(it).__name__)
def test_problem_response_of_each_error(error: WonderCustomersError, status: int) -> None:
    made = problem_response(error)
    body = json.loads(bytes(made.body))
    assert (made.status_code, body["status"]) == (status, status)
    assert made.media_type == "application/problem+json"
    assert b"secret" not in bytes(made.body)


def test_problem_details_of_errors() -> None:
    bodies = [json.loads(bytes(problem_response(error).body)) for error, _ in ANSWERS]
    assert bodies[0]["violations"] == [{"field": "name", "limit": "must have 1 to 50 characters"}]
    fields = {"email": ["is taken", "is too long"]}
    assert problem(InvalidRequestError("refused", status=422, fields=fields)).body["violations"] == [
        {"field": "email", "limit": "is taken"},
        {"field": "email", "limit": "is too long"},
    ]
    assert (bodies[12]["applied"], bodies[12]["request_id"]) == ("unknown", "r-1")
    assert [body["title"] for body in bodies[13:15]] == [
        "The payment gateway refused the credentials of this service."
    ] * 2
    other: Any = ValueError("not an error of the library")
    with pytest.raises(ConfigurationError, match="not ValueError"):
        problem(other)
    locked = problem(GatewayError("secret words", status=423))
    assert (locked.status, locked.body["title"]) == (502, "The payment gateway refused the request.")


def test_all_error_classes_are_tested() -> None:
    kinds = set(WonderCustomersError.__subclasses__())
    while more := {sub for kind in kinds for sub in kind.__subclasses__()} - kinds:
        kinds |= more
    abstract = {"CallError", "GatewayError"}
    assert {kind.__name__ for kind in kinds if kind.__module__ == "wonder_customers.errors"} - abstract == {
        type(error).__name__ for error, _ in ANSWERS
    }


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the app, inside its lifespan."""
    async with app.router.lifespan_context(app) as state:
        held = dict(state or {})

        async def with_state(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(held)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://shop") as client:
            yield client


def monri_app(seen: list[Any], **options: Any) -> Starlette:
    """Return an app with one endpoint."""

    async def delete(request: Request) -> Response:
        session = await customer_session(request)
        seen.append(session)
        await session.for_account(ACCOUNT).get("c-1")
        return JSONResponse({})

    def gateway(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"status": "invalid-request", "message": "Customer not found"})

    lifespan = customer_lifespan(lambda: Paydock("key"), transport=httpx.MockTransport(gateway), **options)
    app = Starlette(routes=[Route("/", delete)], lifespan=lifespan)
    install_error_handlers(app)
    return app


async def test_lifespan_opens_one_session_and_closes_it() -> None:
    seen: list[CustomerSession[Any]] = []
    left: list[str] = []

    @asynccontextmanager
    async def mine(app: Starlette) -> AsyncIterator[dict[str, str]]:
        session = app_session(app)
        left.append(repr(session))
        yield {"mine": "there"}
        assert session is seen[0]
        left.append(repr(session))

    async with running(monri_app(seen, lifespan=mine)) as client:
        assert [(await client.get("/")).status_code for _ in range(3)] == [404] * 3
        assert repr(seen[0]) == "<CustomerSession paydock open (HttpxTransport over MockTransport)>"
    assert len({id(session) for session in seen}) == 1
    assert left == ["<CustomerSession paydock open (HttpxTransport over MockTransport)>"] * 2
    assert repr(seen[0]) == "<CustomerSession paydock closed>"


async def test_account_is_created_in_a_thread_or_by_an_async_function() -> None:
    threads: list[int] = []

    def account() -> Paydock:
        threads.append(threading.get_ident())
        return Paydock("key")

    async def asynchronous() -> Paydock:
        await anyio.lowlevel.checkpoint()
        return Paydock("key")

    accounts: tuple[Any, ...] = (account, asynchronous)
    for it in accounts:
        app = Starlette(lifespan=customer_lifespan(it))
        async with running(app):
            assert app_session(app).gateway == "paydock"
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
    with pytest.raises(ConfigurationError, match="account must be"):
        async with running(Starlette(lifespan=customer_lifespan("monri"))):
            pass


async def test_task_of_the_lifespan_uses_the_session() -> None:
    """A background task starts with the app, reads a customer, and ends before the session is closed."""
    failed: list[str] = []

    async def job(app: Starlette) -> None:
        try:
            await app_session(app).get("0" * 24)
        except NotFoundError as error:
            failed.append(error.gateway or "")

    @asynccontextmanager
    async def jobs(app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(job, app)
            yield

    async with running(monri_app([], lifespan=jobs)):
        pass
    assert failed == ["paydock"]


async def test_missing_lifespan_error_names_the_fix() -> None:
    request = Request({"type": "http", "state": {}})
    with pytest.raises(ConfigurationError, match=r"lifespan=customer_lifespan\(…\).*of a mounted app is not run"):
        await customer_session(request)


def connected(disconnects: anyio.Event) -> Request:
    async def receive() -> MutableMapping[str, Any]:
        await disconnects.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


async def test_client_disconnect_cancels_work() -> None:
    gone, cancelled = anyio.Event(), anyio.Event()

    async def work() -> None:
        gone.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    with anyio.fail_after(120), pytest.raises(ClientDisconnected):
        await cancel_on_disconnect(connected(gone), work)
    assert cancelled.is_set()


async def test_finished_work_returns_its_result_or_raises_its_error() -> None:
    async def fails() -> None:
        raise NotFoundError("unknown") from LookupError("cause")

    async def nothing() -> None:
        """Return None, which is a valid result."""

    work: Callable[[], Awaitable[None]] = nothing
    with anyio.fail_after(120):
        await cancel_on_disconnect(connected(anyio.Event()), work)
        with pytest.raises(NotFoundError) as error:
            await cancel_on_disconnect(connected(anyio.Event()), fails)
    assert isinstance(error.value.__cause__, LookupError)


class Endpoint(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        raise NotFoundError("secret words")


async def accepted(websocket: WebSocket) -> None:
    await websocket.accept()
    raise NotFoundError("secret words")


async def not_accepted(websocket: WebSocket) -> None:
    raise NotFoundError("secret words")


async def left(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ClientDisconnected


async def closed(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4000)
    raise NotFoundError("secret words")


MISSING = "The customer or payment token does not exist."


@pytest.mark.parametrize(
    ("endpoint", "code", "reason"),
    [
        (accepted, 1011, MISSING),
        (Endpoint, 1011, MISSING),
        (not_accepted, 1011, MISSING),
        (left, 1011, ""),
        (closed, 4000, ""),
    ],
)
def test_websocket_is_closed_after_an_error(endpoint: Any, code: int, reason: str) -> None:
    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    install_error_handlers(app)
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(app).websocket_connect("/") as connection:
        connection.receive_text()
    assert (caught.value.code, caught.value.reason) == (code, reason)


@pytest.mark.parametrize(
    ("kind", "status"), [(ConfigurationError, 500), (SessionClosedError, 503), (ClientDisconnected, 499)]
)
async def test_errors_of_the_program_are_logged(
    caplog: pytest.LogCaptureFixture, kind: type[Exception], status: int
) -> None:
    async def failing(request: Request) -> Response:
        raise kind("the reason")

    app = Starlette(routes=[Route("/", failing)])
    install_error_handlers(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        response = await client.get("/")
    assert (response.status_code, "reason" in response.text) == (status, False)
    # That a client disconnects is not an error.
    assert (f"a request ended with status {status}: the reason" in caplog.text) == (status != 499)


GONE = NotFoundError("secret words", status=404)


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([GONE], 404),
        ([GONE, NotSentError(""), GONE], 503),
        ([ExceptionGroup("", [GONE])], 404),
        ([ClientDisconnected(), GONE], 404),
        ([ExceptionGroup("", [ClientDisconnected()]), ClientDisconnected()], 499),
        ([GONE, OSError()], None),
    ],
)
def test_group_of_errors_of_a_task_group_is_handled(errors: list[Exception], status: int | None) -> None:
    async def failing(request: Request) -> Response:
        raise ExceptionGroup("unhandled errors in a TaskGroup", errors)

    app = Starlette(routes=[Route("/", failing)])
    install_error_handlers(app)
    client = TestClient(app, raise_server_exceptions=status is None)
    if status is None:
        with pytest.raises(ExceptionGroup):
            client.get("/")
    else:
        assert client.get("/").status_code == status


@pytest.mark.parametrize(("seconds", "expected"), [(1e30, "86400"), (2.2, "3"), (-5.0, "0")])
def test_retry_after_is_bounded(seconds: float, expected: str) -> None:
    limited = problem_response(RateLimitError("secret words", status=429, retry_after=seconds))
    assert limited.headers["Retry-After"] == expected
