"""A request as the bytes that go out."""

import re
from typing import Final

from wonder_customers.wire import SignedRequest, TransportError

__all__ = ["written"]

_HEAD: Final = re.compile(
    rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:(?: [\t\x20-\x7e\x80-\xff]*))*"
)
"""A request line and header lines (RFC 9112, sections 3 and 5)."""


def written(signed_request: SignedRequest) -> bytes:
    """The whole request.

    Raises:
        TransportError: The request line or a header cannot stand in HTTP.
    """
    line = f"{signed_request.method} {signed_request.target} HTTP/1.1".encode()
    head = b"\r\n".join((line, *map(b": ".join, signed_request.headers)))
    # The pattern would take a line that came inside a value for a header; the number of lines does not.
    if not _HEAD.fullmatch(head) or head.count(b"\n") != len(signed_request.headers):
        raise TransportError("the request could not be put into HTTP")
    return b"%b\r\n\r\n%b" % (head, signed_request.body)
