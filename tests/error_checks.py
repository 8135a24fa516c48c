"""Checks of the errors that invalid input raises."""

import traceback

import pytest
from mock_gateway import ACCOUNTS, MockGateway, SessionCall

from wonder_customers import InvalidRecordError

EACH_GATEWAY = pytest.mark.parametrize("gateway", ACCOUNTS)


def visible_text(error: BaseException, *, local_values: bool = False) -> str:
    """Return everything that an error can show: message, repr, attributes and formatted traceback."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=local_values)
    return "\n".join((str(error), repr(error), repr(vars(error)), *trace.format()))


async def invalid_record_error(gateway: str, call: SessionCall) -> InvalidRecordError:
    """Return the `InvalidRecordError` that `call` raises, and check that no request was sent."""
    mock = MockGateway()
    async with mock.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(InvalidRecordError) as caught:
            await call(session)
    assert mock.requests == []
    assert caught.value.gateway == gateway
    assert "Nothing was sent" in str(caught.value)
    return caught.value
