"""Who calls: this library on its transports, and what a user would write or install instead.

Every contender keeps its library's own defaults for the number of connections, unless its name says otherwise. A Monri
upsert is a look-up and a write, so everybody sends both.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx
import orjson
from attrs import frozen

from wonder_customers import CustomerDraft, CustomerSession, Monri, Phone
from wonder_customers.records import Address

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
"""The customer as a hand-written client puts it on the wire."""


@frozen
class Operations:
    """The two calls that are measured; each takes the customer's reference or id."""

    get: Callable[[str], Awaitable[Any]]
    upsert: Callable[[str], Awaitable[Any]]


OpenContender = AbstractAsyncContextManager[Operations]
Opener = Callable[[int], OpenContender]


def draft(reference: str) -> CustomerDraft:
    """The customer as a user of this library writes it."""
    return CustomerDraft(
        reference=reference,
        description="A customer of the benchmarks",
        email="ada.lovelace@example.com",
        name="Ada Lovelace",
        phone=Phone("+385", f"91{reference[-7:]}" if reference[-7:].isdecimal() else "911234567"),
        metadata={"segment": "gold"},
        address=Address(line1="Ilica 1", city="Zagreb", postcode="10000", country="HR"),
    )


def account(port: int) -> Monri:
    """An account at the canned server."""
    return Monri(KEY, TOKEN, base_url=f"http://127.0.0.1:{port}")


@asynccontextmanager
async def ours(port: int, transport: Any = None) -> AsyncIterator[Operations]:
    """This library, on its default transport unless `transport` is another."""
    async with CustomerSession(account(port), transport=transport) as session:
        yield Operations(session.get, lambda reference: session.upsert(draft(reference)))
    if transport is not None:
        await transport.aclose()


def ours_on_httpx(port: int) -> OpenContender:
    """Return this library on `HttpxTransport`."""
    from wonder_customers.transports.httpx import HttpxTransport  # noqa: PLC0415 - the default does not load it

    return ours(port, HttpxTransport())


@asynccontextmanager
async def handwritten_httpx(port: int, limits: httpx.Limits | None = None) -> AsyncIterator[Operations]:
    """What most people write: ``httpx.AsyncClient`` and dictionaries."""
    base = f"http://127.0.0.1:{port}/v2"
    headers = {"Authorization": f"WP3-v2.1 {TOKEN}"}
    more: dict[str, Any] = {} if limits is None else {"limits": limits}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60, trust_env=False, **more) as client:

        async def get(id: str) -> Any:
            reply = await client.get(f"/customers/{id}")
            reply.raise_for_status()
            return json.loads(reply.content)

        async def upsert(reference: str) -> Any:
            found = await client.get(f"/merchants/customers/{reference}")
            found.raise_for_status()
            held = json.loads(found.content)
            fields = {"merchant_customer_id": reference, **FIELDS}
            reply = await client.post(f"/customers/{held['uuid']}", json=fields)
            reply.raise_for_status()
            return json.loads(reply.content)

        yield Operations(get, upsert)


def httpx_with_32(port: int) -> OpenContender:
    """The same with as many connections as this library's default."""
    return handwritten_httpx(port, httpx.Limits(max_connections=32, max_keepalive_connections=32))


@asynccontextmanager
async def handwritten_aiohttp(port: int) -> AsyncIterator[Operations]:
    """What people write who want speed: aiohttp and orjson's dictionaries."""
    import aiohttp  # noqa: PLC0415 - an extra

    base = f"http://127.0.0.1:{port}/v2"
    headers = {"Authorization": f"WP3-v2.1 {TOKEN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:

        async def get(id: str) -> Any:
            async with client.get(f"{base}/customers/{id}") as reply:
                reply.raise_for_status()
                return orjson.loads(await reply.read())

        async def upsert(reference: str) -> Any:
            async with client.get(f"{base}/merchants/customers/{reference}") as found:
                found.raise_for_status()
                held = orjson.loads(await found.read())
            body = orjson.dumps({"merchant_customer_id": reference, **FIELDS})
            async with client.post(f"{base}/customers/{held['uuid']}", data=body) as reply:
                reply.raise_for_status()
                return orjson.loads(await reply.read())

        yield Operations(get, upsert)


@asynccontextmanager
async def stripe_python(port: int) -> AsyncIterator[Operations]:
    """What a payments developer uses today; its upsert is a retrieve and a modify."""
    import stripe  # noqa: PLC0415 - a guest

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
    """One connection with one request under way, and nothing of HTTP but the length of the answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None
        self.parts = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes

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
async def bare_socket(port: int) -> AsyncIterator[Operations]:
    """The limit: ready-made bytes on a bare asyncio connection per call under way, nothing parsed but the length."""
    idle: list[_Raw] = []
    loop = asyncio.get_running_loop()
    body = orjson.dumps({"merchant_customer_id": "reference", **FIELDS})
    head = b"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: WP3-v2.1 %b\r\n" % TOKEN.encode()

    async def ask(request: bytes) -> bytes:
        wire = idle.pop() if idle else (await loop.create_connection(_Raw, "127.0.0.1", port))[1]
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
    ON_HTTPX: ours_on_httpx,
    HTTPX: handwritten_httpx,
    HTTPX_32: httpx_with_32,
    AIOHTTP: handwritten_aiohttp,
    STRIPE: stripe_python,
    BARE: bare_socket,
}
