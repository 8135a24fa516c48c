"""The verification of Monri's digests for the simulator, implemented from Monri's documentation."""

import hashlib
import hmac
import re
from collections.abc import Mapping

from wonder_customers.simulator.authentication import (
    AuthenticationReport,
    described_mistake,
    readable,
    seconds_apart,
    signing_mistakes,
)
from wonder_customers.simulator.gateway import ReceivedRequest

SCHEME = "WP3-v2.1"
_MILLISECONDS = 100_000_000_000
"""Timestamps of at least this number are in milliseconds."""

Merchants = Mapping[str, Mapping[str, str]]


def parts(request: ReceivedRequest) -> tuple[str, str, str] | None:
    """Return the token, timestamp and digest of the ``Authorization`` header, if it contains them."""
    found = request.headers.get("authorization", "").split(" ")
    return (found[1], found[2], found[3]) if found[0] == SCHEME and len(found) == 4 else None


def is_timestamp(text: str) -> bool:
    """Return whether a timestamp has 1 to 18 digits."""
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def seconds(timestamp: str) -> float:
    """Convert a timestamp in seconds or milliseconds to seconds."""
    return int(timestamp) / 1000 if int(timestamp) >= _MILLISECONDS else int(timestamp)


def digest(key: str, timestamp: str, token: str, target: bytes, body: bytes) -> str:
    """Return the SHA-512 digest of a request in hexadecimal."""
    return hashlib.sha512(f"{key}{timestamp}{token}".encode() + target + body).hexdigest()


def signed_body(request: ReceivedRequest) -> bytes:
    """Return the body as it is signed: empty for GET."""
    return b"" if request.method == "GET" else request.body


def is_valid(request: ReceivedRequest, key: str, timestamp: str, token: str, received: str) -> bool:
    """Return whether a digest was made with `key` for this request."""
    expected = digest(key, timestamp, token, request.target, signed_body(request))
    return hmac.compare_digest(expected.encode(), received.encode())


def report(request: ReceivedRequest, merchants: Merchants, now: float, window: float | None) -> AuthenticationReport:
    """Return a report on the check of the digest of a request that was received at `now`."""
    steps = {"Authorization header": request.headers.get("authorization", "")}
    found = parts(request)
    if found is None:
        return _refused(
            f"The Authorization header must be {SCHEME}, token, timestamp and digest, separated by one space.", steps
        )
    token, timestamp, received = found
    credentials = merchants.get(token)
    if credentials is None:
        return _refused("The authenticity token belongs to no merchant of this simulator.", steps)
    if not is_timestamp(timestamp):
        return _refused("The timestamp must be Unix seconds or milliseconds, in 1 to 18 digits.", steps)
    key, body = credentials["merchant_key"], signed_body(request)
    age = seconds(timestamp) - now
    steps["Timestamp"] = f"{timestamp}: {seconds_apart(age)}"
    steps["Signed string"] = f"(merchant key){timestamp}{token}{readable(request.target)}{readable(body)}"
    steps["Expected digest"] = digest(key, timestamp, token, request.target, body)
    steps["Received digest"] = received
    if not is_valid(request, key, timestamp, token, received):
        return _refused(_mistake(request, merchants, found), steps)
    if window is not None and abs(age) > window:
        return _refused(f"The timestamp is {seconds_apart(age)}. At most {window:g} s are allowed.", steps)
    return AuthenticationReport(True, "The digest is valid.", steps)


def _mistake(request: ReceivedRequest, merchants: Merchants, found: tuple[str, str, str]) -> str:
    """Describe the mistake that caused a wrong digest."""
    token, timestamp, received = found
    received = received.lower()
    key, body = merchants[token]["merchant_key"], signed_body(request)
    if digest(key, timestamp, token, request.target, body) == received:
        return "The digest contains upper-case letters. It must be in lower case."
    for other in merchants.values():
        if digest(other["merchant_key"], timestamp, token, request.target, body) == received:
            return "The merchant key and the authenticity token belong to different merchants."
    candidates = [*signing_mistakes(request.method, request.target, body, request.origin)]
    if request.body and not body:
        candidates.append(("the body of a GET request, which counts as empty", request.target, request.body))
    for words, target, other_body in candidates:
        if digest(key, timestamp, token, target, other_body) == received:
            return described_mistake(words, target, request.target)
    if body:
        return "Either the merchant key is wrong, or the timestamp, path or body was changed after signing."
    return "Either the merchant key is wrong, or the timestamp or path was changed after signing."


def _refused(reason: str, steps: Mapping[str, str]) -> AuthenticationReport:
    return AuthenticationReport(False, reason, steps)
