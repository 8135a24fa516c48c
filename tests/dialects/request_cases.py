"""An operation with its responses and the requests that it must send, and checks of its result."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from mock_gateway import Session

from wonder_customers import Customer


@frozen
class Case:
    """An operation: the responses of the gateway, and the requests that must have been sent."""

    call: Callable[[Session], Awaitable[Any]]
    answers: tuple[tuple[int, Any], ...]
    lines: tuple[str, ...]
    bodies: tuple[Any, ...]
    result: Callable[[Any], bool]


def single(
    call: Callable[[Session], Awaitable[Any]], line: str, answer: Any, result: Callable[[Any], bool], sent: Any = None
) -> Case:
    """Return an operation of one request, which the gateway answers with HTTP 200."""
    return Case(call, ((200, answer),), (line,), (sent,), result)


def returns_customer(id: str) -> Callable[[Any], bool]:
    return lambda it: isinstance(it, Customer) and it.id == id


def returns_tokens(*tokens: str) -> Callable[[Any], bool]:
    return lambda it: tuple(token.token for token in it) == tokens


def returns_token(token: str, state: str | None) -> Callable[[Any], bool]:
    return lambda it: (it.token, it.state) == (token, state)
