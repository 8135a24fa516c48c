"""Checks of the errors that invalid input raises."""

import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from mock_gateway import MockGateway, Session, SessionCall

from wonder_customers import InvalidRecordError


def visible_text(error: BaseException, *, local_values: bool = False) -> str:
    """Return everything that an error can show: message, repr, attributes and formatted traceback."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=local_values)
    return "\n".join((str(error), repr(error), repr(vars(error)), *trace.format()))


async def invalid_record_errors(
    gateway: str, call: Callable[[Session, Any], Awaitable[Any]], values: Iterable[Any]
) -> list[InvalidRecordError]:
    """Return the `InvalidRecordError` that `call` raises for each of the values, and check that no request was sent."""
    mock, errors = MockGateway(), list[InvalidRecordError]()
    async with mock.session(gateway) as session:
        for value in values:
            try:
                await call(session, value)
            except InvalidRecordError as error:
                errors.append(error)
            else:
                pytest.fail(f"{value!r:.100} was accepted")
    assert mock.requests == []
    for it in errors:
        assert it.gateway == gateway
        assert "Nothing was changed" in str(it)
    return errors


async def invalid_record_error(gateway: str, call: SessionCall) -> InvalidRecordError:
    """Return the `InvalidRecordError` that `call` raises, and check that no request was sent."""
    (error,) = await invalid_record_errors(gateway, lambda session, _: call(session), [None])
    return error
