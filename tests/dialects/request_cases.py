"""An operation, the requests that it must send with their responses, and checks of its result."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from gateway_responses import HEX24, UUID
from mock_gateway import Session

from wonder_customers import Customer

RequestAndResponse = tuple[str, Any, Any]
"""The line of a request, its body, and the body of the response, which may be a pair of a status and a body."""


def returns_customer(it: Any) -> bool:
    return isinstance(it, Customer) and it.id in {UUID, HEX24}


def returns_nothing(it: Any) -> bool:
    return it is None


def returns_tokens(*tokens: str) -> Callable[[Any], bool]:
    return lambda it: tuple(token.token for token in it) == tokens


def returns_token(token: str, state: str | None) -> Callable[[Any], bool]:
    return lambda it: (it.token, it.state) == (token, state)


@frozen
class Case:
    """An operation, its exchanges with the gateway, and whether its result is right."""

    call: Callable[[Session], Awaitable[Any]]
    exchanges: tuple[RequestAndResponse, ...]
    result: Callable[[Any], bool] = returns_customer


def case(
    call: Callable[[Session], Awaitable[Any]],
    *exchanges: RequestAndResponse,
    result: Callable[[Any], bool] = returns_customer,
) -> Case:
    return Case(call, exchanges, result)
