"""A response without end, from a transport given by the caller."""

from collections.abc import AsyncIterator

import httpx
import pytest

from wonder_customers import InvalidResponseError, Monri, RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports.messages import MAX_BODY

pytestmark = pytest.mark.anyio

PIECE = b"x" * (1 << 20)


class Endless(httpx.AsyncByteStream):
    """A response body that never ends, and counts what was read of it."""

    def __init__(self) -> None:
        self.read, self.closed = 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self.closed:
            self.read += len(PIECE)
            yield PIECE

    async def aclose(self) -> None:
        self.closed = True


async def test_endless_response_is_cut_off() -> None:
    body = Endless()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=body))
    account = Monri("key", "token", base_url="http://127.0.0.1:9")
    async with CustomerSession(account, transport=transport, retry=RetryPolicy(attempts=1)) as session:
        with pytest.raises(InvalidResponseError, match="the response body is larger than 8,388,608 bytes"):
            await session.get("c-1")
    assert body.closed
    assert body.read == MAX_BODY + len(PIECE)
