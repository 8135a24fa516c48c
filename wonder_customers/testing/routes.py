"""The requests of an operation, determined by running the dialect with its examples as responses."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote

import orjson
from attrs import evolve, field, frozen

from wonder_customers.dialects.base import Call, Dialect, LockCustomer, Operation, Steps
from wonder_customers.dialects.offline import offline_account
from wonder_customers.errors import CallError, ConfigurationError
from wonder_customers.records import Customer, CustomerPatch, Page, PaymentToken, Response
from wonder_customers.testing.examples import Example, Examples, ResponseContent, examples
from wonder_customers.testing.factories import make_draft, make_source
from wonder_customers.wire import HttpResponse, Replay

__all__ = ["Route", "routes"]

T = TypeVar("T")

_ORDER: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.LIST: ("customers",),
    Operation.DELETE: ("plain", "customer"),
    Operation.LIST_PAYMENT_TOKENS: ("tokens", "customer"),
    Operation.CREATE_PAYMENT_TOKEN: ("token", "customer"),
    Operation.CHECK_PAYMENT_TOKEN: ("token", "tokens", "customer"),
    Operation.DELETE_PAYMENT_TOKEN: ("plain", "customer"),
}
"""The kinds of examples that can be the response of an operation, most likely first."""


@frozen
class Route:
    """One request of an operation, and the example that is its response."""

    method: str
    pattern: str  # for the URL on any host; an id, reference or token is a group with this name
    template: str
    example: Example | None  # None for a response without a body
    adds_token: bool = False  # whether a token is added to the customer's tokens
    shows_token: bool = False  # whether the token is the result, so that changes of the test apply to it
    write: bool = False
    first_page: Mapping[str, str | None] = field(factory=dict, eq=False)  # query values that later pages do not have

    def match(self, method: str, url: str) -> dict[str, str] | None:
        """Return the values of the groups; None if the request does not match."""
        found = re.match(self.pattern, url) if method == self.method else None
        return None if found is None else {name: value for name, value in found.groupdict().items() if value}

    def response_body(self, known: Examples, content: ResponseContent, target: str = "") -> bytes:
        """Return the response body with `content` for a request with `target`. Later pages of a list are empty."""
        if self.example is None:
            return b""
        query = _query(target)
        if target and any(query.get(name) != value for name, value in self.first_page.items()):
            return orjson.dumps(self.example.filled([], total=1))
        token, tokens = content.token, content.customer.payment_tokens
        if self.adds_token and token is not None:
            present = any(it.token == token.token for it in tokens)
            other = token.token[:-1] + ("1" if token.token[-1:] != "1" else "2")  # in the same format
            tokens = (*tokens, evolve(token, token=other) if present else token)
        elif self.shows_token and token is not None:
            tokens = tuple(token if it == known.token else it for it in tokens)
        content = evolve(content, customer=evolve(content.customer, payment_tokens=tokens))
        return orjson.dumps(known.rendered(self.example, content))


def _query(target: str) -> dict[str, str]:
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))


@cache
def routes(gateway: str, operation: Operation) -> tuple[Route, ...]:
    """Return the requests of `operation` in order. Raise `ConfigurationError` if the operation cannot be mocked."""
    dialect = offline_account(gateway).dialect()
    if operation in dialect.unsupported_operations:
        reason = dialect.unsupported_operations[operation]
        raise ConfigurationError(f"{gateway} does not support {operation}, so it cannot be mocked: {reason}.")
    known = examples(gateway)
    found: list[Route] = []
    steps = _steps(gateway, dialect, operation, known)
    try:
        step = next(steps)
        while True:
            if isinstance(step, LockCustomer):
                step = steps.send(False)
                continue
            route, response = _mocked(gateway, operation, step, known)
            if operation is Operation.LIST and response.record.cursor is not None:
                later = next(dialect.page(1, response.record.cursor))
                assert isinstance(later, Call)  # noqa: S101 - a list needs no lock
                query = _query(step.request.target)
                moved = _query(later.request.target).items() - query.items()
                route = evolve(route, first_page={name: query.get(name) for name, _ in moved})
            found.append(route)
            step = steps.send(response)
    except StopIteration:
        return tuple(found)


def _steps(gateway: str, dialect: Dialect, operation: Operation, known: Examples) -> Steps[Any]:
    """Return the steps of the operation for the examples of the dialect."""
    customer, token = known.customer, known.token or PaymentToken("token-1")
    draft = make_draft(reference=customer.reference or "test-1")
    match operation:
        case Operation.CREATE | Operation.UPSERT:
            steps: Steps[Any] = getattr(dialect, operation)(draft)
        case Operation.GET | Operation.DELETE | Operation.LIST_PAYMENT_TOKENS:
            steps = getattr(dialect, operation)(customer.id)
        case Operation.GET_BY_REFERENCE:
            steps = dialect.get_by_reference(draft.reference or "")
        case Operation.UPDATE:
            steps = dialect.update(customer.id, CustomerPatch(name="Grace Hopper"))
        case Operation.LIST:
            steps = dialect.page(1, None)  # a full page, so that its cursor is known
        case Operation.CREATE_PAYMENT_TOKEN:
            source = make_source(offline_account(gateway))
            if source is None:
                raise ConfigurationError(
                    f"{gateway} does not accept any of the payment sources of make_source. Mock the request with"
                    " gateway_mock.router."
                )
            steps = dialect.create_payment_token(customer.id, source)
        case Operation.CHECK_PAYMENT_TOKEN | Operation.DELETE_PAYMENT_TOKEN:
            steps = getattr(dialect, operation)(customer.id, token)
    return steps


def _mocked(gateway: str, operation: Operation, call: Call[Any], known: Examples) -> tuple[Route, Any]:
    """Return the route of one request, and the decoded response of its example."""
    adds = operation is Operation.CREATE_PAYMENT_TOKEN and call.replay is not Replay.READ
    shows = operation in {Operation.LIST_PAYMENT_TOKENS, Operation.CHECK_PAYMENT_TOKEN}
    content = ResponseContent(evolve(known.customer, reference=known.customer.reference or "test-1"), known.token)
    pattern = _pattern(call, content)
    for example in _candidates(operation, known):
        write = call.replay is not Replay.READ
        adds_here = adds and example is not None and example.kind == "customer"
        route = Route(call.request.method, pattern, call.request.route, example, adds_here, shows, write)
        try:
            record = call.decode(HttpResponse(200, {}, route.response_body(known, content)))
        except CallError:
            continue
        if _is_result(operation, record):
            return route, Response(record, 200, {})
    raise ConfigurationError(
        f"{gateway} has no example of a response to {call.request.method} {call.request.route} ({operation}). Add one"
        " to the folder golden of its dialect."
    )


def _candidates(operation: Operation, known: Examples) -> list[Example | None]:
    kinds = _ORDER.get(operation, ("customer", "customers"))
    about_tokens = operation.endswith("payment_token")
    found: list[Example | None] = []
    for kind in (*kinds, "customers"):
        usable = [it for it in known.all if it.kind == kind]
        if kind == "plain":
            usable = [it for it in usable if it.name.startswith("delete") and ("payment" in it.name) == about_tokens]
        found += usable
    return [*found, None]


def _is_result(operation: Operation, record: Any) -> bool:
    """Return whether `record` can be a result of the operation."""
    if operation in {Operation.DELETE, Operation.DELETE_PAYMENT_TOKEN}:
        return record is None
    if isinstance(record, Page):
        return bool(record.items)
    if isinstance(record, (tuple, list)):
        return bool(record)
    return isinstance(record, (Customer, PaymentToken))


def _pattern(call: Call[Any], content: ResponseContent) -> str:
    """Return the `Route.pattern` of a call."""
    named = {"id": content.customer.id, "reference": content.customer.reference or ""}
    if content.token is not None:
        named["token"] = content.token.token
    quoted = {quote(value, safe=""): name for name, value in named.items() if value}
    path, _, query = call.request.target.partition("?")
    parts = [f"(?P<{quoted[part]}>[^/?]+)" if part in quoted else re.escape(part) for part in path.split("/")]
    parameters = ""
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if value in quoted:
            parameters += rf"(?=[^#]*[?&]{re.escape(name)}=(?P<{quoted[value]}>[^&#]*))"
    return rf"^https?://[^/]+{'/'.join(parts)}(?=[?]|$){parameters}"
