"""A server that has its answers ready, in a process of its own, so that it is never what is measured.

It speaks just enough HTTP/1.1 for well-behaved clients, and puts the id or reference that was asked for into the
answer, because the library refuses an answer about somebody else.
"""

import asyncio
import re
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
    """The whole answer of one gateway about one customer."""
    shape = {b"m": _MONRI, b"w": _WONDER, b"s": _STRIPE}[kind]
    body = orjson.dumps(shape).replace(b'"~"', b'"' + name + b'"')
    if name[-7:].isdigit():  # everybody has a number of their own
        body = body.replace(b"+385911234567", b"+38591" + name[-7:])
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.waiting, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.waiting) < whole:
                return
            request, self.waiting = self.waiting[:whole], self.waiting[whole:]
            self.transport.write(_reply_to(request))


def _reply_to(request: bytes) -> bytes:
    target = request.split(b" ", 2)[1].partition(b"?")[0]
    name = target.rpartition(b"/")[2]
    if target.startswith(b"/v2/"):
        return answer(b"m", name)
    if b"/openapi/" in target:
        said = _REFERENCE.search(request)
        return answer(b"w", said[1] if said else name)
    return answer(b"s", name)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the measuring process, however that ends.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def canned_server() -> Iterator[int]:
    """The server's port, while it runs in another process (on another core, where the system allows to say so)."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._canned"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(5)


if __name__ == "__main__":
    from benchmarks._loop import on_core, run

    on_core(-1)
    run(_serve())
