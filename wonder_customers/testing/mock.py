"""`GatewayMock`: a respx router mounted as a session's transport, with a helper per operation.

Nothing is patched. A session that is given the mock's transport has no other way out, so nothing can slip through to a
gateway; a request without a route fails the test with the line that would answer it.
"""

from collections.abc import Callable
from typing import Any, Final

import httpx
import respx
from respx.models import AllMockedAssertionError

from wonder_customers.dialects import names
from wonder_customers.dialects.base import Operation
from wonder_customers.errors import ConfigurationError
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.testing.accounts import account_at, mock_origin, offline_simulator
from wonder_customers.testing.refusals import STATUSES, refusal_body
from wonder_customers.testing.responses import MockedResponses
from wonder_customers.testing.routes import routes

__all__ = ["GatewayMock", "MockedGateway"]

_ABOUT_TOKENS: Final = frozenset(it for it in Operation if "payment_token" in it)

SideEffect = Callable[..., httpx.Response]


class MockedGateway:
    """One gateway of a `GatewayMock`.

    Every operation has a method of its name. It answers that operation from then on with the dialect's documented
    example, with the id or the reference that was asked for and with your `changes` to the record (for the operations
    on payment tokens: to the token). Where an operation looks something up first, it finds it.

    Args:
        name: The gateway's name.
        router: Where the routes are added.
        transport: What leads to the router.
    """

    def __init__(self, name: str, router: respx.Router, transport: httpx.AsyncBaseTransport) -> None:
        self.name = name
        self._router = router
        self._transport = transport
        self._effects: dict[tuple[str | None, str], SideEffect] = {}

    def create(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.create`."""
        return self._mock(Operation.CREATE, changes)

    def upsert(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.upsert` of a customer that is there already."""
        return self._mock(Operation.UPSERT, changes)

    def get(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.get`."""
        return self._mock(Operation.GET, changes)

    def get_by_reference(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.get_by_reference`."""
        return self._mock(Operation.GET_BY_REFERENCE, changes)

    def update(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.update`."""
        return self._mock(Operation.UPDATE, changes)

    def delete(self) -> respx.Route:
        """Answer `CustomerSession.delete`."""
        return self._mock(Operation.DELETE, {})

    def list(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.list` with one page of one customer."""
        return self._mock(Operation.LIST, changes)

    def list_payment_tokens(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.list_payment_tokens`."""
        return self._mock(Operation.LIST_PAYMENT_TOKENS, changes)

    def create_payment_token(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.create_payment_token`."""
        return self._mock(Operation.CREATE_PAYMENT_TOKEN, changes)

    def check_payment_token(self, **changes: Any) -> respx.Route:
        """Answer `CustomerSession.check_payment_token`."""
        return self._mock(Operation.CHECK_PAYMENT_TOKEN, changes)

    def delete_payment_token(self) -> respx.Route:
        """Answer `CustomerSession.delete_payment_token`."""
        return self._mock(Operation.DELETE_PAYMENT_TOKEN, {})

    def refuse(
        self,
        code: str,
        *,
        status: int | None = None,
        message: str | None = None,
        operation: str | None = None,
        times: int | None = None,
        retry_after: float | None = None,
    ) -> respx.Route:
        """Refuse, in the gateway's own form.

        Args:
            code: The gateway's error code, such as ``invalid_token``.
            status: The HTTP status; by default the one that `STATUSES` gives to the code, else 400.
            message: The gateway's words.
            operation: Refuse only the first request of this operation; by default every request that no earlier route
                answers.
            times: Refuse so often and then answer as before: as the helper said that was called earlier, else with the
                example. Needs `operation`.
            retry_after: Seconds that the gateway asks to wait.

        Raises:
            ConfigurationError: `times` was given without `operation`.
        """
        number = STATUSES.get(code, 400) if status is None else status
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        body = refusal_body(self.name, number, code, message)

        def refused(_: httpx.Request, **caught: str) -> httpx.Response:
            return httpx.Response(number, content=body, headers=headers)

        if operation is None:
            if times is not None:
                raise ConfigurationError("refuse(times=…) needs operation=…: what should be answered afterwards?")
            under = rf"^https?://[^/]+{offline_simulator(self.name).prefix}(?=[/?]|$)"
            return self._add(None, under, f"refuse({code!r})", refused)
        first = routes(self.name, Operation(operation))[0]
        label = f"refuse({code!r}, operation={operation!r})"
        effect = refused if times is None else _first(times, refused, self._present(Operation(operation)))
        return self._add(first.method, first.pattern, label, effect)

    def session(self, *, retry: RetryPolicy | None = None) -> CustomerSession[Any]:
        """A session that is not open yet and sends to the mock, with made-up credentials."""
        return CustomerSession(account_at(self.name, mock_origin(self.name)), retry=retry, transport=self._transport)

    def _mock(self, operation: Operation, changes: dict[str, Any]) -> respx.Route:
        answers = MockedResponses(self.name, changes, about_token=operation in _ABOUT_TOKENS)
        *before, last = routes(self.name, operation)
        for number, route in enumerate(before, 1):
            label = f"{operation}(), request {number} of {len(before) + 1}"
            self._add(route.method, route.pattern, label, answers.to(route))
        return self._add(last.method, last.pattern, f"{operation}()", answers.to(last))

    def _present(self, operation: Operation) -> SideEffect:
        """What answers the operation's first request now."""
        first = routes(self.name, operation)[0]
        if (first.method, first.pattern) not in self._effects:
            self._mock(operation, {})
        return self._effects[first.method, first.pattern]

    def _add(self, method: str | None, pattern: str, label: str, effect: SideEffect) -> respx.Route:
        self._effects[method, pattern] = effect
        lookups: dict[str, Any] = {"url__regex": pattern} | ({} if method is None else {"method": method})
        route = self._router.route(name=f"{self.name}.{label}", **lookups)
        return route.mock(side_effect=effect)


def _first(times: int, refused: SideEffect, then: SideEffect) -> SideEffect:
    left = [refused] * times

    def effect(request: httpx.Request, **caught: str) -> httpx.Response:
        return (left.pop() if left else then)(request, **caught)

    return effect


class GatewayMock:
    """All gateways, mocked: what the fixture `gateway_mock` gives.

    Attributes:
        router: The respx router, for routes of your own. Of two routes that match, the one added first answers; adding
            one with the same pattern again replaces it.
        transport: Give it to a session of your own: ``CustomerSession(account, transport=gateway_mock.transport)``.
    """

    def __init__(self) -> None:
        self._gateways: dict[str, MockedGateway] = {}
        self._unmocked: list[str] = []
        self.router: respx.Router = respx.Router(assert_all_called=False)
        self.transport: httpx.AsyncBaseTransport = httpx.MockTransport(self._handle)

    @property
    def wonder(self) -> MockedGateway:
        """Wonder."""
        return self.gateway("wonder")

    @property
    def paydock(self) -> MockedGateway:
        """Paydock."""
        return self.gateway("paydock")

    @property
    def monri(self) -> MockedGateway:
        """Monri."""
        return self.gateway("monri")

    def gateway(self, name: str) -> MockedGateway:
        """Any gateway that is installed, by its name.

        Raises:
            ConfigurationError: No gateway has that name.
        """
        if name not in self._gateways:
            offline_simulator(name)
            self._gateways[name] = MockedGateway(name, self.router, self.transport)
        return self._gateways[name]

    @property
    def calls(self) -> respx.models.CallList:
        """Every request that was answered, in order."""
        return self.router.calls

    def failure(self) -> str | None:
        """What went wrong although the test passed: a request without a route, or a route without a request."""
        if self._unmocked:
            return self._unmocked[0]
        idle = [route.name or repr(route.pattern) for route in self.router.routes if not route.called]
        if not idle:
            return None
        return (
            f"mocked, and never called: {', '.join(idle)}. Either the code under test did not make the call that this"
            " test is about, or the helper is not needed: then remove its line."
        )

    def assert_all_called(self) -> None:
        """Fail when a route was never called, or a request had no route and the error was swallowed.

        Raises:
            AssertionError: So it is. It says what to do.
        """
        failure = self.failure()
        if failure is not None:
            raise AssertionError(failure)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self.router.async_handler(request)
        except AllMockedAssertionError:
            self._unmocked.append(_unmocked(request))
        raise AssertionError(self._unmocked[-1])


def _unmocked(request: httpx.Request) -> str:
    """What to say of a request that no route answers. Neither its body nor its headers: they hold credentials."""
    url = str(request.url)
    for gateway in names():
        helpers: list[str] = []
        template = ""
        unsupported_operations = account_at(gateway, mock_origin(gateway)).dialect().unsupported_operations
        for operation in (it for it in Operation if it not in unsupported_operations):
            for route in routes(gateway, operation):
                if route.match(request.method, url) is not None:
                    helpers.append(f"gateway_mock.{gateway}.{operation}(…)")
                    template = route.template
        if helpers:
            unique = " or ".join(dict.fromkeys(helpers))
            return f"{gateway}: {request.method} {template} is not mocked. Nothing was sent. Answer it with {unique}."
    return (
        f"{request.method} {request.url.path} is not mocked, and no operation of a gateway makes this request. Nothing"
        f" was sent. Answer it with gateway_mock.router.route(method={request.method!r}, path=…).respond(…)."
    )
