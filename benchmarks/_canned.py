"""A server with prepared responses, in its own process, so that its cost is not measured.

It implements only the part of HTTP/1.1 that correct clients need. The response contains the requested id or reference,
because the library rejects a response about another customer.
"""

import asyncio
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import orjson

_MONRI = {
    "merchant_customer_id": "~",
    "description": "A customer of the benchmarks",
    "email": "ada.lovelace@example.com",
    "name": "Ada Lovelace",
    "phone": "+385911234567",
    "status": "approved",
    "deleted": False,
    "city": "Zagreb",
    "country": "HR",
    "zip_code": "10000",
    "address": "Ilica 1",
    "metadata": {"segment": "gold"},
    "uuid": "~",
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-02-03T04:05:06Z",
    "deleted_at": None,
}
_WONDER = {
    "code": 200,
    "message": "Succeed",
    "data": {
        "customer": {
            "uuid": "4b281da4-d145-4233-b957-2018cf9aa0fb",
            "name": "Ada Lovelace",
            "email": "ada.lovelace@example.com",
            "dial_code": "+852",
            "phone": "61234567",
            "reference_number": "~",
            "default_payment_method": "Credit Card",
            "default_payment_token": None,
        }
    },
}
_STRIPE = {
    "id": "~",
    "object": "customer",
    "created": 1767323045,
    "email": "ada.lovelace@example.com",
    "name": "Ada Lovelace",
    "phone": "+385911234567",
    "livemode": False,
    "metadata": {"segment": "gold"},
    "address": {"city": "Zagreb", "country": "HR", "line1": "Ilica 1", "postal_code": "10000"},
}
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
_REFERENCE = re.compile(rb'"reference_number": *"([^"]+)"')


@lru_cache(65_536)
def answer(kind: bytes, name: bytes) -> bytes:
    """Return the HTTP response of one gateway about one customer.

    Args:
        kind: ``b"m"`` for Monri, ``b"w"`` for Wonder, ``b"s"`` for Stripe.
        name: The id or reference of the customer.
    """
    shape = {b"m": _MONRI, b"w": _WONDER, b"s": _STRIPE}[kind]
    body = orjson.dumps(shape).replace(b'"~"', b'"' + name + b'"')
    if name[-7:].isdigit():  # each customer has a different number
        body = body.replace(b"+385911234567", b"+38591" + name[-7:])
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.waiting, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.waiting) < whole:
                return
            request, self.waiting = self.waiting[:whole], self.waiting[whole:]
            self.transport.write(_respond_to(request))


def _respond_to(request: bytes) -> bytes:
    target = request.split(b" ", 2)[1].partition(b"?")[0]
    name = target.rpartition(b"/")[2]
    if target.startswith(b"/v2/"):
        return answer(b"m", name)
    if b"/openapi/" in target:
        said = _REFERENCE.search(request)
        return answer(b"w", said[1] if said else name)
    return answer(b"s", name)


async def _serve(*, tls: bool) -> None:
    context, certificate = None, b""
    if tls:
        import trustme  # noqa: PLC0415 - only the cases over TLS need it

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        authority.issue_cert("127.0.0.1").configure_cert(context)
        certificate = authority.cert_pem.bytes()
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, ssl=context, backlog=2048)
    print(server.sockets[0].getsockname()[1], certificate.hex(), flush=True)
    # Stop when the measuring process has ended for any reason.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def canned_server() -> Iterator[int]:
    """Run the server in another process, on another core where the system supports it, and return its port."""
    with _process("plain") as (port, _):
        yield port


@contextmanager
def canned_tls_server() -> Iterator[tuple[int, ssl.SSLContext]]:
    """Run the server over TLS 1.3; return its port, and a client context that trusts its certificate authority."""
    with _process("tls") as (port, certificate):
        context = ssl.create_default_context(cadata=certificate)
        yield port, context


@contextmanager
def _process(kind: str) -> Iterator[tuple[int, str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._canned", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port, _, certificate = process.stdout.readline().partition(" ")
            yield int(port), bytes.fromhex(certificate).decode("ascii")
        finally:
            process.stdin.close()
            process.wait(5)


if __name__ == "__main__":
    from benchmarks._loop import on_core, run

    on_core(-1)
    run(_serve(tls=sys.argv[1] == "tls"))
