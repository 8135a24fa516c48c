"""The contenders: this library on its transports, and the alternatives that a user would write or install.

Every contender uses its library's default number of connections unless its name says otherwise. A Monri upsert is a
read and a write, so every contender sends both.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

import httpx
import orjson
from attrs import frozen

from wonder_customers import CustomerDraft, CustomerSession, Monri, Phone
from wonder_customers.records import Address
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport

KEY, TOKEN = "qwert1234", "7db11ea5d4a1af32421b564c79b946d1ead3daf0"
FIELDS = {
    "description": "A customer of the benchmarks",
    "email": "ada.lovelace@example.com",
    "name": "Ada Lovelace",
    "phone": "+385911234567",
    "metadata": {"segment": "gold"},
    "zip_code": "10000",
    "city": "Zagreb",
    "address": "Ilica 1",
    "country": "HR",
}
"""The customer in the JSON of a hand-written client."""


@frozen
class Operations:
    """The two measured calls. Each takes the reference or id of a customer."""

    get: Callable[[str], Awaitable[Any]]
    upsert: Callable[[str], Awaitable[Any]]


Opener = Callable[..., AbstractAsyncContextManager[Operations]]
"""Takes the port of the server, and a TLS context if it is to use TLS."""


def draft(reference: str) -> CustomerDraft:
    """Return the customer as a record of this library."""
    return CustomerDraft(
        reference=reference,
        description="A customer of the benchmarks",
        email="ada.lovelace@example.com",
        name="Ada Lovelace",
        phone=Phone("+385", f"91{reference[-7:]}" if reference[-7:].isdecimal() else "911234567"),
        metadata={"segment": "gold"},
        address=Address(line1="Ilica 1", city="Zagreb", postcode="10000", country="HR"),
    )


def origin(port: int, context: ssl.SSLContext | None = None) -> str:
    """Return the origin of the canned server."""
    return f"{'http' if context is None else 'https'}://127.0.0.1:{port}"


def account(port: int, context: ssl.SSLContext | None = None) -> Monri:
    """Return an account at the canned server."""
    return Monri(KEY, TOKEN, base_url=origin(port, context))


@asynccontextmanager
async def ours(
    port: int, context: ssl.SSLContext | None = None, transport: Callable[..., Any] = AsyncioTransport
) -> AsyncIterator[Operations]:
    """Open this library."""
    factory = partial(transport, ssl_context=context)
    async with CustomerSession(account(port, context), transport=factory) as session:
        yield Operations(session.get, lambda reference: session.upsert(draft(reference)))


@asynccontextmanager
async def handwritten_httpx(
    port: int, context: ssl.SSLContext | None = None, limits: httpx.Limits | None = None
) -> AsyncIterator[Operations]:
    """Open the most common hand-written client: ``httpx.AsyncClient`` and dictionaries."""
    base = f"{origin(port, context)}/v2"
    headers = {"Authorization": f"WP3-v2.1 {TOKEN}"}
    more: dict[str, Any] = ({} if limits is None else {"limits": limits}) | (
        {} if context is None else {"verify": context}
    )
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60, trust_env=False, **more) as client:

        async def get(id: str) -> Any:
            response = await client.get(f"/customers/{id}")
            response.raise_for_status()
            return json.loads(response.content)

        async def upsert(reference: str) -> Any:
            found = await client.get(f"/merchants/customers/{reference}")
            found.raise_for_status()
            held = json.loads(found.content)
            fields = {"merchant_customer_id": reference, **FIELDS}
            response = await client.post(f"/customers/{held['uuid']}", json=fields)
            response.raise_for_status()
            return json.loads(response.content)

        yield Operations(get, upsert)


@asynccontextmanager
async def handwritten_aiohttp(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Operations]:
    """Open a hand-written client for speed: aiohttp and dictionaries of orjson."""
    import aiohttp  # noqa: PLC0415 - slow to import

    base = f"{origin(port, context)}/v2"
    headers = {"Authorization": f"WP3-v2.1 {TOKEN}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(ssl=True if context is None else context)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as client:

        async def get(id: str) -> Any:
            async with client.get(f"{base}/customers/{id}") as response:
                response.raise_for_status()
                return orjson.loads(await response.read())

        async def upsert(reference: str) -> Any:
            async with client.get(f"{base}/merchants/customers/{reference}") as found:
                found.raise_for_status()
                held = orjson.loads(await found.read())
            body = orjson.dumps({"merchant_customer_id": reference, **FIELDS})
            async with client.post(f"{base}/customers/{held['uuid']}", data=body) as response:
                response.raise_for_status()
                return orjson.loads(await response.read())

        yield Operations(get, upsert)


@asynccontextmanager
async def stripe_python(port: int) -> AsyncIterator[Operations]:
    """Open stripe-python; its upsert is a retrieve and a modify."""
    import stripe  # noqa: PLC0415 - slow to import

    client = stripe.StripeClient(
        "sk_test_benchmarks",
        base_addresses={"api": f"http://127.0.0.1:{port}"},
        http_client=stripe.HTTPXClient(allow_sync_methods=False),
    )
    customers = client.v1.customers
    fields: Any = {
        "description": "A customer of the benchmarks",
        "email": "ada.lovelace@example.com",
        "name": "Ada Lovelace",
        "phone": "+385911234567",
        "metadata": {"segment": "gold"},
        "address": {"line1": "Ilica 1", "city": "Zagreb", "postal_code": "10000", "country": "HR"},
    }

    async def upsert(reference: str) -> Any:
        held = await customers.retrieve_async(reference)
        return await customers.update_async(held.id, fields)

    yield Operations(customers.retrieve_async, upsert)


class _Raw(asyncio.Protocol):
    """A connection with one request in progress, which parses only the length of the response."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None
        self.parts = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        self.parts += data
        head = self.parts.find(b"\r\n\r\n")
        if head < 0:
            return
        length = int(self.parts[self.parts.find(b"Content-Length: ") + 16 : head])
        if len(self.parts) >= head + 4 + length and self.answer is not None:
            self.answer.set_result(self.parts[head + 4 :])
            self.parts, self.answer = b"", None

    def ask(self, request: bytes) -> "asyncio.Future[bytes]":
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer


@asynccontextmanager
async def bare_socket(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Operations]:
    """Open a client that is the upper limit: prepared bytes on bare asyncio connections; only the length is parsed."""
    idle: list[_Raw] = []
    loop = asyncio.get_running_loop()
    body = orjson.dumps({"merchant_customer_id": "reference", **FIELDS})
    head = b"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: WP3-v2.1 %b\r\n" % TOKEN.encode()

    async def ask(request: bytes) -> bytes:
        wire = idle.pop() if idle else (await loop.create_connection(_Raw, "127.0.0.1", port, ssl=context))[1]
        answer = await wire.ask(request)
        idle.append(wire)
        return answer

    async def get(id: str) -> Any:
        return await ask(b"GET /v2/customers/%b %b\r\n" % (id.encode(), head))

    async def upsert(reference: str) -> Any:
        await ask(b"GET /v2/merchants/customers/%b %b\r\n" % (reference.encode(), head))
        line = b"POST /v2/customers/%b %bContent-Length: %d\r\n\r\n" % (reference.encode(), head, len(body))
        return await ask(line + body)

    try:
        yield Operations(get, upsert)
    finally:
        for wire in idle:
            wire.transport.close()


LIBRARY, ON_HTTPX = "wonder_customers", "wonder_customers on httpx"
HTTPX, HTTPX_32, AIOHTTP = "httpx", "httpx, 32 connections", "aiohttp + orjson"
STRIPE, BARE = "stripe-python", "bare socket"

CONTENDERS: Mapping[str, Opener] = {
    LIBRARY: ours,
    ON_HTTPX: partial(ours, transport=HttpxTransport),
    HTTPX: handwritten_httpx,
    HTTPX_32: partial(handwritten_httpx, limits=httpx.Limits(max_connections=32, max_keepalive_connections=32)),
    AIOHTTP: handwritten_aiohttp,
    STRIPE: stripe_python,
    BARE: bare_socket,
}
