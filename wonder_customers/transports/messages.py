"""HTTP/1.1 messages: requests as bytes and as objects of httpx, and the headers and bodies of responses."""

import re
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import Header, SignedRequest, TransportError

MAX_BODY: Final = 8 * 1024 * 1024
"""Maximum size of a response body in bytes, before and after decoding."""

MAX_HEAD: Final = 100 * 1024
"""Maximum size of the status line and the headers of a response in bytes."""

_HEAD: Final = re.compile(
    rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:(?: [\t\x20-\x7e\x80-\xff]*))*"
)
"""A request line and header lines (RFC 9112, sections 3 and 5)."""

_NOT_ENCODED: Final = frozenset({"", "identity", "none", "binary", "utf-8", "utf8", "us-ascii", "iso-8859-1"})
"""Values of Content-Encoding for bodies that are not encoded. Some servers send a character set in this header."""

_WINDOW_BITS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""zlib's ``wbits`` by coding. Servers send "deflate" with and without a zlib header (RFC 9110, section 8.4.1.2)."""

_MOST_MEMBERS: Final = 100
"""Maximum number of members of a gzip body (RFC 1952, section 2.2). Each one copies the rest of the body."""


def serialize_request(signed_request: SignedRequest) -> bytes:
    """Return the bytes of a request. Raise `TransportError` if they are not valid HTTP."""
    line = f"{signed_request.method} {signed_request.target} HTTP/1.1".encode()
    head = b"\r\n".join((line, *map(b": ".join, signed_request.headers)))
    # The pattern alone would accept a header line that was injected through a value.
    if not _HEAD.fullmatch(head) or head.count(b"\n") != len(signed_request.headers):
        hint = "Check the headers that the dialect or the application adds."
        raise TransportError("the request line or a header is not valid HTTP", retryable=False, hint=hint)
    return b"%b\r\n\r\n%b" % (head, signed_request.body)


def library_of(kind: type) -> ModuleType:
    """Return the library of a class of transports."""
    modules = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return import_module("httpx2" if "httpx2" in modules else "httpx")


@cache
def _body_class(library: ModuleType) -> Any:
    """Return a class for request bodies."""
    return type("Body", (_Body, library.AsyncByteStream), {})


class _Body:  # no async generator, because trio warns about suspended generators
    def __init__(self, body: bytes) -> None:
        self._parts = [body] if body else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


def build_request(library: ModuleType, signed_request: SignedRequest) -> Any:
    """Return a request object of `library`. Raise `ConfigurationError` if the library refuses or changes the URL."""
    origin, target, timeouts = signed_request.origin, signed_request.target.encode("ascii"), signed_request.timeouts
    url = None
    with suppress(library.InvalidURL):  # the host looks like an IP address, or a part of the URL is too long
        url = library.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=target)
    if url is None or url.raw_path != target:
        raise ConfigurationError(
            "the request cannot be sent with httpx, which refuses or would change its URL. Nothing was sent. Check"
            " base_url, or use AsyncioTransport on asyncio."
        )
    limits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.write, "pool": timeouts.connect}
    return library.Request(
        signed_request.method,
        url,
        headers=list(signed_request.headers),
        stream=_body_class(library)(signed_request.body),
        extensions={"timeout": limits},
    )


def normalize_headers(headers: Iterable[Header]) -> dict[str, str]:
    """Return headers as a dict of strings, names in lower case."""
    # httptools does not remove the spaces after a value, which do not belong to it (RFC 9110, section 5.5).
    return {name.decode("latin-1").lower(): value.decode("latin-1").rstrip(" \t") for name, value in headers}


def too_large() -> TransportError:
    """Return the error for a response body that is larger than `MAX_BODY`."""
    return TransportError(f"the response body is larger than {MAX_BODY:,} bytes", retryable=False)


def decode_body(content_encoding: str, body: bytes) -> bytes:
    """Return the decoded body. Raise `TransportError` if it cannot be decoded."""
    for coding in reversed(content_encoding.lower().split(",")):
        if (name := coding.strip()) in _NOT_ENCODED or not body:
            continue
        if name not in _WINDOW_BITS:
            raise TransportError("the Content-Encoding of the response is neither gzip nor deflate", retryable=False)
        body = _decompress(body, _WINDOW_BITS[name])
    return body


def _decompress(body: bytes, formats: tuple[int, ...]) -> bytes:
    for window_bits in formats:
        decoded, rest = b"", body
        for _ in range(_MOST_MEMBERS):
            decoder = zlib.decompressobj(window_bits)
            try:
                decoded += decoder.decompress(rest, MAX_BODY + 1 - len(decoded))
            except zlib.error:
                break
            if len(decoded) > MAX_BODY:
                raise too_large()
            if not decoder.eof:
                break
            rest = decoder.unused_data
            if window_bits != 31 or not rest.startswith(b"\x1f\x8b"):  # the first bytes of a gzip member
                return decoded
    raise TransportError("the compressed response body is damaged or incomplete")


def is_one_response(data: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether `data` is known to be exactly one response with `headers`."""
    body = data.partition(b"\r\n\r\n")[2]
    if "transfer-encoding" not in headers:
        return headers.get("content-length", "0") == str(len(body))
    if "content-length" in headers:  # RFC 9112, section 6.3: the connection must be closed
        return False
    try:
        while size := int(body[: body.index(b"\r\n")].partition(b";")[0], 16):
            body = body[body.index(b"\r\n") + 2 + size + 2 :]
    except ValueError:
        return False
    return body == b"0\r\n\r\n"
