"""Operations that fail because of the response of a gateway."""

from collections.abc import Awaitable
from typing import Any

import pytest
from examples import DRAFT
from gateway_responses import IDS
from mock_gateway import MockGateway, Session, SessionCall, json_response

from wonder_customers import CallError, CustomerPatch


async def failure(
    gateway: str, *answers: tuple[int, Any], operation: SessionCall | None = None, **headers: str
) -> CallError:
    """Return the error of a get, or of another operation, with these responses."""
    wire = MockGateway(*(json_response(status, body, **headers) for status, body in answers))
    call: SessionCall = operation or (lambda session: session.get(IDS[gateway]))
    async with wire.session(gateway) as session:
        with pytest.raises(CallError) as caught:
            await call(session)
    assert wire.responses == []
    assert caught.value.gateway == gateway
    return caught.value


def create(session: Session) -> Awaitable[Any]:
    return session.create(DRAFT)


def update(session: Session) -> Awaitable[Any]:
    return session.update(IDS[session.gateway], CustomerPatch(email="ada@example.com"))
