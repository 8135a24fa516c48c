"""What input that cannot work must meet: an error of the library's own, nothing sent, and all that the error shows."""

import traceback

import pytest
from mock_gateway import ACCOUNTS, MockGateway, SessionCall

from wonder_customers import InvalidRecordError

EACH_GATEWAY = pytest.mark.parametrize("gateway", ACCOUNTS)


def visible_text(error: BaseException, *, local_values: bool = False) -> str:
    """Everything that an error may show: its words, its repr, its fields, its formatted traceback."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=local_values)
    return "\n".join((str(error), repr(error), repr(vars(error)), *trace.format()))


async def invalid_record_error(gateway: str, verb: SessionCall) -> InvalidRecordError:
    """The `InvalidRecordError` that a verb raises, with nothing sent."""
    wire = MockGateway()
    async with wire.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(InvalidRecordError) as caught:
            await verb(session)
    assert wire.requests == []
    assert caught.value.gateway == gateway
    assert "Nothing was sent" in str(caught.value)
    return caught.value
