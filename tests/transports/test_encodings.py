"""Content codings and sizes of response bodies."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from gateway_responses import IDS, monri_customer, paydock_customer, wonder_customer
from transports.sending import session_with

from raw_sockets import Peer
from wonder_customers import (
    CustomerPatch,
    CustomerSession,
    InvalidRequestError,
    InvalidResponseError,
    Monri,
    NoResponseError,
    RetryPolicy,
)
from wonder_customers.transports.messages import MAX_BODY

BODY = b'{"uuid": "c-1", "merchant_customer_id": "r-1", "status": "approved"}'


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def serving(head: bytes, body: bytes, requests: list[bytes]) -> Callable[[Peer], None]:
    """Return a script that sends the same response to every request."""

    def script(peer: Peer) -> None:
        while request := peer.request():
            requests.append(request)
            peer.say(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    return script


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("utf-8", bytes),
        ("", bytes),
        ("identity", bytes),
        ("UTF8", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body) + bytes(9)),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("gzip, identity", gzip.compress),
    ],
)
async def test_body_is_decoded(kind: Callable[..., Any], coding: str, encode: Callable[[bytes], bytes]) -> None:
    head = f"Content-Encoding: {coding}\r\n".encode()
    async with session_with(serving(head, encode(BODY), []), kind) as session:
        assert (await session.get("c-1")).reference == "r-1"


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        (b"Content-Encoding: br\r\n", b"\x0b\x02\x80{}\x03", "neither gzip nor deflate"),
        (b"", b"x" * (MAX_BODY + 1), "larger than 8,388,608 bytes"),
        (b"Content-Encoding: gzip\r\n", gzip.compress(b" " * (MAX_BODY + 1)), "larger than 8,388,608 bytes"),
    ],
    ids=["brotli", "too large", "too large after decoding"],
)
async def test_body_that_cannot_be_read_is_requested_once(
    kind: Callable[..., Any], head: bytes, body: bytes, words: str
) -> None:
    requests: list[bytes] = []
    async with session_with(serving(head, body, requests), kind) as session:
        with pytest.raises(InvalidResponseError, match=words):
            await session.get("c-1")
        for write in (session.update("c-1", CustomerPatch(name="Ada")), session.delete("c-2")):
            with pytest.raises(InvalidResponseError, match=words) as caught:
                await write
            assert caught.value.applied == "unknown"
    assert len(requests) == 3


async def test_incomplete_gzip_body_ends_with_an_error(kind: Callable[..., Any]) -> None:
    async with session_with(serving(b"Content-Encoding: gzip\r\n", gzip.compress(BODY)[:-9], []), kind) as session:
        with pytest.raises(NoResponseError, match="damaged or incomplete"):
            await session.get("c-1")


async def test_write_with_an_incomplete_body_is_sent_again_and_then_refused(kind: Callable[..., Any]) -> None:
    refusal, written = b'{"status": "invalid-request", "message": "an active contract"}', []

    def script(peer: Peer) -> None:
        while request := peer.request():
            written.append(request)
            complete = len(written) % 2 == 0
            part = refusal if complete else refusal[:20]
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(refusal), part))
            if not complete:
                return

    async with session_with(script, kind) as session:
        for write in (session.update("c-1", CustomerPatch(name="Ada")), session.delete("c-2")):
            with pytest.raises(InvalidRequestError, match="an active contract"):
                await write
    assert len(written) == 4


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


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("ISO-8859-1", "latin-1"),
        ('"windows-1250"', "cp1250"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-be"),
        ("UTF-16LE", "utf-16-le"),
        ("iso-8859-1", "utf-8"),  # the wrong charset
    ],
)
async def test_body_is_read_in_the_charset_of_its_content_type(
    kind: Callable[..., Any], gateway: str, charset: str, codec: str
) -> None:
    customer = {
        "wonder": wonder_customer(name="Jürgen"),
        "monri": monri_customer(name="Jürgen"),
        "paydock": paydock_customer(first_name="Jürgen"),
    }[gateway]
    head = f"Content-Type: application/json; Charset={charset}\r\n".encode()
    body = json.dumps(customer, ensure_ascii=False).encode(codec)
    async with session_with(serving(head, body, []), kind, gateway=gateway) as session:
        found = await session.get(IDS[gateway])
        assert session.stats().drift == ({} if codec == "utf-8" else {f"{gateway}.(body)": 1})
    assert "Jürgen" in {found.name, found.first_name}


@pytest.mark.parametrize("charset", ["iso-8859-99", "utf-16", "rot13", "utf-7"])
async def test_body_that_its_charset_does_not_decode_is_refused(kind: Callable[..., Any], charset: str) -> None:
    head = f"Content-Type: application/json; charset={charset}\r\n".encode()
    async with session_with(serving(head, BODY.replace(b"r-1", b"\xe9-1"), []), kind) as session:
        with pytest.raises(InvalidResponseError):
            await session.get("c-1")
