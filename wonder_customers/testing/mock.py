"""`GatewayMock`: a respx router as the transport of sessions."""

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

import httpx
import orjson
import respx
from respx.models import AllMockedAssertionError

from wonder_customers.dialects import names
from wonder_customers.dialects.base import Operation
from wonder_customers.dialects.offline import offline_account, offline_simulator
from wonder_customers.errors import ConfigurationError
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.testing.responses import STATUSES, MockedResponses, refusal_body
from wonder_customers.testing.routes import routes

__all__ = ["GatewayMock", "MockedGateway"]

_ABOUT_TOKENS: Final = frozenset(it for it in Operation if "payment_token" in it)

SideEffect = Callable[..., httpx.Response]


class MockedGateway:
    """One gateway of a `GatewayMock`.

    Each operation has a helper method with the same name, which mocks the requests of the operation. The response is
    the dialect's documented example, with the requested id or reference. `changes` apply to the customer or, for
    operations on payment tokens, to the token. Lookups at the start of an operation find the customer.

    Args:
        name: The gateway's name.
        router: The router to which routes are added.
        transport: The transport that sends requests to the router.
        mocked: A dictionary to which the method and path template of each route are added, by the name of the route.
    """

    def __init__(
        self, name: str, router: respx.Router, transport: httpx.AsyncBaseTransport, mocked: dict[str, str]
    ) -> None:
        self.name = name
        self._router = router
        self._transport = transport
        self._mocked = mocked
        self._effects: dict[tuple[str | None, str], SideEffect] = {}
        self._refusals: dict[tuple[str | None, str], list[SideEffect]] = {}

    def create(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.create`."""
        return self._mock(Operation.CREATE, changes)

    def upsert(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.upsert` of a customer that exists."""
        return self._mock(Operation.UPSERT, changes)

    def get(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.get`."""
        return self._mock(Operation.GET, changes)

    def get_by_reference(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.get_by_reference`."""
        return self._mock(Operation.GET_BY_REFERENCE, changes)

    def update(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.update`."""
        return self._mock(Operation.UPDATE, changes)

    def delete(self) -> respx.Route:
        """Mock `CustomerSession.delete`."""
        return self._mock(Operation.DELETE, {})

    def list(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.list` with one customer on the first page. Other pages are empty."""
        return self._mock(Operation.LIST, changes)

    def list_payment_tokens(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.list_payment_tokens`."""
        return self._mock(Operation.LIST_PAYMENT_TOKENS, changes)

    def create_payment_token(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.create_payment_token`."""
        return self._mock(Operation.CREATE_PAYMENT_TOKEN, changes)

    def check_payment_token(self, **changes: Any) -> respx.Route:
        """Mock `CustomerSession.check_payment_token`."""
        return self._mock(Operation.CHECK_PAYMENT_TOKEN, changes)

    def delete_payment_token(self) -> respx.Route:
        """Mock `CustomerSession.delete_payment_token`."""
        return self._mock(Operation.DELETE_PAYMENT_TOKEN, {})

    def refuse(
        self,
        code: str,
        *,
        status: int | None = None,
        message: str | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        operation: str | None = None,
        times: int | None = None,
        retry_after: float | None = None,
    ) -> respx.Route:
        """Mock an error response in the gateway's format.

        Args:
            code: The gateway's error code. Any code is accepted. These codes have their own status: ``invalid_token``,
                ``invalid_signature`` and ``unauthorized`` (401), ``token_required`` and ``forbidden`` (403),
                ``not_found`` (404), ``duplicate`` (409), ``rate_limited`` (429), ``server_error`` (500) and
                ``unavailable`` (503).
            status: The HTTP status; None for the status of the code, which is 400 for all other codes.
            message: The gateway's message; None for the standard phrase of the status, or ``Error`` if there is none.
            fields: The gateway's messages by wire field, for `InvalidRequestError.fields` (Paydock and Monri).
            operation: The operation whose first request is refused, named like the method of the session, such as
                ``get_by_reference``; None for all requests without an earlier route. If the lookup of a reference is a
                list (Paydock), ``not_found`` is an empty list.
            times: The number of error responses; None for no limit. Later requests get the response of another helper
                call, or the example. Requires `operation`.
            retry_after: The value of the ``Retry-After`` header in seconds; None for no header.

        Raises:
            ConfigurationError: `code` is not a str, `times` is less than 1 or was passed without `operation`, the error
                responses of the gateway do not name fields, or the gateway does not support the operation.
            ValueError: The operation is unknown. The message lists the operations.
        """
        if not isinstance(code, str):
            raise ConfigurationError(
                f"code must be a str such as 'not_found', not {code!r}. Pass an HTTP status as status="
            )
        if times is not None and times < 1:
            raise ConfigurationError(f"times must be at least 1, not {times}")
        number = STATUSES.get(code, 400) if status is None else status
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        body = refusal_body(self.name, number, code, message, fields)

        def refused(_: httpx.Request, **groups: str) -> httpx.Response:
            return httpx.Response(number, content=body, headers=headers)

        if operation is None:
            if times is not None:
                raise ConfigurationError(
                    "refuse(times=…) requires operation=…, because the operation determines the later responses"
                )
            under = rf"^https?://[^/]+{offline_simulator(self.name).prefix}(?=[/?]|$)"
            return self._add(None, under, f"refuse({code!r})", refused, "")
        if operation not in set(Operation):
            raise ValueError(f"the operation {operation!r} is unknown. The operations are {', '.join(Operation)}.")
        first = routes(self.name, Operation(operation))[0]
        shown, missing = first.example, (Operation.GET_BY_REFERENCE, "not_found", None)
        if (operation, code, status) == missing and shown is not None and shown.kind == "customers":
            # The lookup is a list, which is empty if no customer matches.
            number, body = 200, orjson.dumps(shown.filled([]))
        label = f"refuse({code!r}, operation={operation!r})"
        if times is None:
            return self._add(first.method, first.pattern, label, refused, first.template)
        then = self._current_effect(Operation(operation))
        return self._add(first.method, first.pattern, label, then, first.template, refusals=[refused] * times)

    def session(self, *, retry: RetryPolicy | None = None) -> CustomerSession[Any]:
        """Return a session that sends requests to the mock, with generated credentials. It is not open yet."""
        return CustomerSession(offline_account(self.name), retry=retry, transport=self._transport)

    def _mock(self, operation: Operation, changes: dict[str, Any]) -> respx.Route:
        responses = MockedResponses(self.name, changes, about_token=operation in _ABOUT_TOKENS)
        *before, last = routes(self.name, operation)
        for number, route in enumerate(before, 1):
            label = f"{operation}(), request {number} of {len(before) + 1}"
            self._add(route.method, route.pattern, label, responses.side_effect(route), route.template)
        return self._add(last.method, last.pattern, f"{operation}()", responses.side_effect(last), last.template)

    def _current_effect(self, operation: Operation) -> SideEffect:
        """Return the current side effect of the operation's first request."""
        first = routes(self.name, operation)[0]
        if (first.method, first.pattern) not in self._effects:
            self._mock(operation, {})
        return self._effects[first.method, first.pattern]

    def _add(
        self,
        method: str | None,
        pattern: str,
        label: str,
        effect: SideEffect,
        template: str,
        *,
        refusals: Sequence[SideEffect] = (),
    ) -> respx.Route:
        self._mocked[f"{self.name}.{label}"] = f"{method} {template}" if template else ""
        key = (method, pattern)
        self._effects[key] = effect
        first = self._refusals.setdefault(key, [])
        first += refusals

        def respond(request: httpx.Request, **groups: str) -> httpx.Response:
            self._refusals.pop(key, None)  # helpers that are called after a request replace the remaining refusals
            return (first.pop(0) if first else effect)(request, **groups)

        lookups: dict[str, Any] = {"url__regex": pattern} | ({} if method is None else {"method": method})
        route = self._router.route(name=f"{self.name}.{label}", **lookups)
        return route.mock(side_effect=respond)


class GatewayMock:
    """Mocks of all gateways. The fixture `gateway_mock` returns an instance.

    Attributes:
        router: The respx router, for custom routes. If several routes match, the route that was added first applies. A
            route with the pattern of an existing route replaces it.
        transport: The transport for sessions that the test creates:
            ``CustomerSession(account, transport=gateway_mock.transport)``.
    """

    def __init__(self) -> None:
        self._gateways: dict[str, MockedGateway] = {}
        self._unmocked: list[str] = []
        self._optional: list[respx.Route] = []
        self._mocked: dict[str, str] = {}
        self.router: respx.Router = respx.Router(assert_all_called=False)
        self.transport: httpx.AsyncBaseTransport = httpx.MockTransport(self._handle)

    @property
    def wonder(self) -> MockedGateway:
        """The mock of Wonder."""
        return self.gateway("wonder")

    @property
    def paydock(self) -> MockedGateway:
        """The mock of Paydock."""
        return self.gateway("paydock")

    @property
    def monri(self) -> MockedGateway:
        """The mock of Monri."""
        return self.gateway("monri")

    def gateway(self, name: str) -> MockedGateway:
        """Return the mock of an installed gateway.

        Raises:
            ConfigurationError: The gateway is unknown.
        """
        if name not in self._gateways:
            offline_simulator(name)
            self._gateways[name] = MockedGateway(name, self.router, self.transport, self._mocked)
        return self._gateways[name]

    @property
    def calls(self) -> respx.models.CallList:
        """All requests with a mocked response, in order."""
        return self.router.calls

    def failure(self) -> str | None:
        """Return a message about a request without a route, or about routes that were not called; None otherwise."""
        if self._unmocked:
            return self._unmocked[0]
        idle = [
            _name(route)
            for route in self.router.routes
            if not route.called and not any(route is it for it in self._optional)
        ]
        if not idle:
            return None
        return (
            f"these routes are mocked but were never called: {', '.join(idle)}. Check that the code under test makes"
            " the calls, remove the mocks, or mark the routes with gateway_mock.optional(route)."
        )

    def optional(self, route: respx.Route) -> respx.Route:
        """Mark a route as optional, so that the test passes even if the route is not called. Return the route.

        Args:
            route: A route of a helper method: ``gateway_mock.optional(gateway_mock.monri.get())``.
        """
        self._optional.append(route)
        return route

    def assert_called_in_order(self, *routes: respx.Route) -> None:
        """Check that the routes were called in this order.

        Other calls may occur in between. A route that is passed twice must have been called twice.

        Raises:
            AssertionError: A call is missing, or the calls have another order. The message lists the calls.
        """
        called = [route for call in self.calls if (route := self._route_of(call)) is not None]
        remaining = iter(called)
        for number, route in enumerate(routes, 1):
            if not any(it is route for it in remaining):
                names = ", ".join(map(_name, called)) or "none"
                raise AssertionError(
                    f"expected call {number}, {_name(route)}, is missing or out of order. Calls made: {names}."
                )

    def _route_of(self, call: respx.models.Call) -> respx.Route | None:
        """Return the route that responded to a call; None if no route did."""
        return next((it for it in self.router.routes if any(call.request is own.request for own in it.calls)), None)

    def assert_all_called(self) -> None:
        """Check that every route that is not optional was called, and that every request had a route.

        A request without a route fails the check even if the code under test caught the error.

        Raises:
            AssertionError: A check failed. The message states how to fix the test.
        """
        failure = self.failure()
        if failure is not None:
            raise AssertionError(failure)

    def _nearest(self, request: httpx.Request) -> str:
        """Return a sentence about the most similar mocked route."""
        requested = f"{request.method} {request.url.path}"
        mocked = {name: shown for name, shown in self._mocked.items() if shown}
        if not mocked:
            return " No helper method has mocked a route."
        name = max(mocked, key=lambda it: SequenceMatcher(None, mocked[it], requested).ratio())
        return f" The most similar mocked route is {name}: {mocked[name]}."

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self.router.async_handler(request)
        except AllMockedAssertionError:
            self._unmocked.append(_unmocked(request) + self._nearest(request))
        except RuntimeError as error:
            if not isinstance(error.__cause__, StopIteration):
                raise
            self._unmocked.append(
                f"the list `side_effect` of the route for {request.method} {request.url.path} has no more responses."
                " Add a response for each request. A list of customers without a total ends with an empty page."
            )
        raise AssertionError(self._unmocked[-1])


def _name(route: respx.Route) -> str:
    return route.name or repr(route.pattern)


def _unmocked(request: httpx.Request) -> str:
    """Return the message for a request without a route."""
    # Without the body and the headers, which may contain secrets.
    url = str(request.url)
    for gateway in names():
        helpers: list[str] = []
        template = ""
        unsupported_operations = offline_account(gateway).dialect().unsupported_operations
        for operation in (it for it in Operation if it not in unsupported_operations):
            for route in routes(gateway, operation):
                if route.match(request.method, url) is not None:
                    helpers.append(f"gateway_mock.{gateway}.{operation}(…)")
                    template = route.template
        if helpers:
            unique = " or ".join(dict.fromkeys(helpers))
            return f"{gateway}: {request.method} {template} is not mocked. Nothing was sent. Mock it with {unique}."
    return (
        f"{request.method} {request.url.path} is not mocked, and no helper of a gateway mocks it. Nothing was sent."
        f" Mock it with gateway_mock.router.route(method={request.method!r}, path=…).respond(…)."
    )
