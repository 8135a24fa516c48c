"""Integration with Starlette and FastAPI: a session per process, error responses, and client disconnects.

For example:

    app = FastAPI(lifespan=customer_lifespan(Wonder.from_environment))
    install_error_handlers(app)


    @app.get("/customers/{id}")
    async def name(id: str, customers: Annotated[CustomerSession[Wonder], Depends(customer_session)]) -> str | None:
        return (await customers.get(id)).name
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from inspect import isawaitable
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from wonder_customers.contrib.problems import MEDIA_TYPE, problem
from wonder_customers.errors import ConfigurationError, SessionClosedError, WonderCustomersError, needed
from wonder_customers.session import CustomerSession

with needed("starlette", "starlette", by=__name__):
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, Response
    from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

__all__ = [
    "ClientDisconnected",
    "app_session",
    "cancel_on_disconnect",
    "customer_lifespan",
    "customer_session",
    "install_error_handlers",
    "problem_response",
]

T = TypeVar("T")
State = Mapping[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[State]]

_LOG: Final = logging.getLogger("wonder_customers")
_STATE: Final = "customer_session"


# One session per process


def customer_lifespan(
    account: Any, *, lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None, **options: Any
) -> Lifespan:
    """Return a lifespan that opens a session when the app starts, and closes it when the app shuts down.

    Args:
        account: The account, or a function that returns it when the app starts, such as ``Wonder.from_environment``.
            A function runs in a thread; an async function runs on the event loop.
        lifespan: The app's own lifespan. The session opens before this lifespan and closes after it.
        **options: Arguments of `CustomerSession`, such as `retry` and `observers`.
    """

    @asynccontextmanager
    async def with_session(app: Any) -> AsyncIterator[State]:
        # In a list, because trio does not accept a coroutine as the result of a thread.
        (resolved,) = [account] if not callable(account) else await anyio.to_thread.run_sync(lambda: [account()])
        async with CustomerSession(await resolved if isawaitable(resolved) else resolved, **options) as session:
            setattr(app.state, _STATE, session)
            async with nullcontext() if lifespan is None else lifespan(app) as state:
                yield {**(state or {}), _STATE: session}

    return with_session


def app_session(app: Starlette) -> CustomerSession[Any]:
    """Return the session of an app, for the app's own lifespan and background tasks.

    Raises:
        ConfigurationError: The app was not started with `customer_lifespan`.
    """
    return _session_in(app.state)


async def customer_session(connection: HTTPConnection) -> CustomerSession[Any]:
    """Return the session of the app. Use this function as a dependency, or call it with the request.

    For a tenant with separate credentials, use a view of the session: ``customers.for_account(account_of(tenant))``.

    Raises:
        ConfigurationError: The app was not started with `customer_lifespan`.
    """
    return _session_in(connection.state)


def _session_in(state: object) -> CustomerSession[Any]:
    session = getattr(state, _STATE, None)
    if not isinstance(session, CustomerSession):
        raise ConfigurationError(
            "the app has no session. Create the app that the server runs with lifespan=customer_lifespan(…), because"
            " the lifespan of a mounted app is not run. In tests, use `with TestClient(app)`, which runs the lifespan."
        )
    return session


# Error responses


def problem_response(error: WonderCustomersError) -> Response:
    """Return a response with the problem details of an error (see `wonder_customers.contrib.problems.problem`)."""
    details = problem(error)
    return JSONResponse(details.body, details.status, dict(details.headers), media_type=MEDIA_TYPE)


class ClientDisconnected(Exception):
    """The client closed its connection before the response was ready."""


def install_error_handlers(app: Starlette) -> None:
    """Install exception handlers on a Starlette or FastAPI app.

    The response to a `WonderCustomersError` is that of `problem_response`. The response to `ClientDisconnected` is
    empty and has status 499. A WebSocket is closed with code 1011 and the title of the problem details. A
    `SessionClosedError` and errors with status 500 are logged by the logger ``wonder_customers``.

    A group of only these errors is handled like the first `WonderCustomersError` with status 5xx, else like the first.

    Args:
        app: The application.
    """

    async def failed(connection: Any, error: Any) -> Any:
        if isinstance(error, ExceptionGroup):
            if error.split((WonderCustomersError, ClientDisconnected))[1] is not None:
                raise error
            if (ours := error.subgroup(WonderCustomersError)) is None:
                return await gone(connection, error)
            severe = ours.subgroup(lambda it: not isinstance(it, ExceptionGroup) and problem(it).status >= 500)
            error = severe or ours
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        response = problem_response(error)
        if response.status_code == 500 or isinstance(error, SessionClosedError):
            _LOG.error("a request ended with status %d: %s", response.status_code, error, exc_info=error)
        return await _sendable(connection, response, problem(error).body["title"])

    async def gone(connection: Any, error: Exception) -> Any:
        return await _sendable(connection, Response(status_code=499))

    app.add_exception_handler(WonderCustomersError, failed)
    app.add_exception_handler(ClientDisconnected, gone)
    app.exception_handlers.setdefault(ExceptionGroup, failed)


async def _sendable(connection: HTTPConnection, response: Response, reason: str | None = None) -> Response | None:
    """Return `response`, or close a WebSocket, to which no response can be sent after its handshake."""
    if not isinstance(connection, WebSocket):
        return response
    if WebSocketState.DISCONNECTED not in {connection.client_state, connection.application_state}:
        with suppress(WebSocketDisconnect):
            await connection.close(1011, reason)
    return None


# Client disconnects


async def cancel_on_disconnect(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `work`, or cancel `work` when the client closes its connection.

    A write in progress may still be applied after the cancellation. Use operations that are safe to repeat, such as
    `CustomerSession.upsert` with a reference. Read the body of the request before you call this function.

    Args:
        request: The request of the client.
        work: A function without arguments that returns an awaitable.

    Raises:
        ClientDisconnected: The client closed the connection first.
    """
    results: list[T] = []
    try:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            results.append(await work())
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        # `watch` never raises, so the group contains only the error of `work`, which handlers select by its class.
        if len(failures.exceptions) > 1:
            raise
        error = failures.exceptions[0]
        raise error from error.__cause__
    if not results:
        raise ClientDisconnected
    return results[0]
