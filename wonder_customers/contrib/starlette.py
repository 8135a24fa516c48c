"""Starlette and FastAPI: one session for the whole process, errors as answers, and clients that leave.

app = FastAPI(lifespan=customer_lifespan(Wonder.from_environment))
install_error_handlers(app)


@app.get("/customers/{id}")
async def show(id: str, customers: Annotated[CustomerSession[Wonder], Depends(customer_session)]) -> ...:
    return await customers.get(id)
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import anyio

from wonder_customers.contrib.problems import MEDIA_TYPE, problem
from wonder_customers.errors import ConfigurationError, WonderCustomersError, needed
from wonder_customers.session import CustomerSession

with needed("starlette", "starlette", by=__name__):
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, Response

__all__ = [
    "ClientDisconnected",
    "answer",
    "cancel_on_disconnect",
    "customer_lifespan",
    "customer_session",
    "install_error_handlers",
]

T = TypeVar("T")
State = Mapping[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[State]]

_STATE: Final = "customer_session"


# One session per process


def customer_lifespan(account: Any, *, around: Callable[[Any], Any] | None = None, **options: Any) -> Lifespan:
    """A lifespan that opens one session when the app starts, and closes it after the last request was answered.

    Args:
        account: The account, or a function that makes it when the app starts (so that importing the app needs no
            credentials), such as ``Wonder.from_environment``.
        around: Another lifespan of yours, entered first and left last.
        **options: What `CustomerSession` takes: `retry`, `transport`, `max_connections`, `observers`.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            state = {} if around is None else (await stack.enter_async_context(around(app)) or {})
            made = account if hasattr(account, "dialect") and not isinstance(account, type) else account()
            session = await stack.enter_async_context(CustomerSession(made, **options))
            yield {**state, _STATE: session}

    return lifespan


async def customer_session(connection: HTTPConnection) -> CustomerSession[Any]:
    """The session of the app that serves `connection`: a dependency, or called with the request.

    For a tenant with credentials of its own take a view, which costs little and shares the connections:
    ``customers.for_account(account_of(tenant))``.

    Raises:
        ConfigurationError: The app does not run under `customer_lifespan`.
    """
    session = getattr(connection.state, _STATE, None)
    if not isinstance(session, CustomerSession):
        raise ConfigurationError(
            "there is no session: give the app lifespan=customer_lifespan(…). In tests use `with TestClient(app)`,"
            " which runs the lifespan"
        )
    return session


# Errors as answers


def answer(error: WonderCustomersError) -> Response:
    """The answer for the app's own client: `wonder_customers.contrib.problems.problem`, as a response."""
    told = problem(error)
    return JSONResponse(told.body, told.status, dict(told.headers), media_type=MEDIA_TYPE)


class ClientDisconnected(Exception):
    """The client has closed its connection: nobody reads an answer any more."""


def install_error_handlers(app: Starlette) -> None:
    """Install exception handlers on a Starlette or FastAPI app.

    `WonderCustomersError` becomes the response of `answer`, `ClientDisconnected` an empty 499.

    Args:
        app: The application.
    """

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, WonderCustomersError)  # noqa: S101 - what it is installed for
        return answer(error)

    async def gone(_: Request, error: Exception) -> Response:
        return Response(status_code=499)

    app.add_exception_handler(WonderCustomersError, failed)
    app.add_exception_handler(ClientDisconnected, gone)


# Clients that leave


async def cancel_on_disconnect(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, which is cancelled when the client closes its connection.

    The session takes cancellation at any moment. A write that was under way may still be applied: let what follows
    be safe to repeat, as `CustomerSession.upsert` with a reference is. Read the request's body before.

    Args:
        request: The request whose client is watched.
        work: What to do, without arguments.

    Raises:
        ClientDisconnected: The client left first.
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
        # The watch raises nothing: what is in the group is the one error of `work`, which handlers know by its class.
        if len(failures.exceptions) > 1:
            raise
        error = failures.exceptions[0]
        raise error from error.__cause__
    if not results:
        raise ClientDisconnected
    return results[0]
