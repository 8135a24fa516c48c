"""Accounts for tests, and a gateway that answers from a script and remembers every byte it was sent."""

import json
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wonder_customers import CustomerSession, Monri, Paydock, RetryPolicy, Wonder
from wonder_customers.dialects.base import Account

APP_ID = "d900da8b-6e16-4a85-8a66-05d29ac53f24"
SECRET_KEY = "sk-b5c0ffee00112233445566778899"
ACCESS_TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
MERCHANT_KEY = "qwert1234"
AUTHENTICITY_TOKEN = "7db11ea5d4a1af32421b564c79b946d1ead3daf0"

Session = CustomerSession[Any]
SessionCall = Callable[[Session], Awaitable[Any]]
"""Something to call on a session."""

ScriptedResponse = httpx.Response | Callable[[httpx.Request], httpx.Response]


@cache
def private_key() -> str:
    """One RSA key for all tests, because making one takes time."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@cache
def wonder() -> Wonder:
    return Wonder(APP_ID, private_key())


@cache
def paydock() -> Paydock:
    return Paydock(SECRET_KEY)


@cache
def monri() -> Monri:
    return Monri(MERCHANT_KEY, AUTHENTICITY_TOKEN)


@cache
def monri_oauth() -> Monri:
    return Monri(MERCHANT_KEY, AUTHENTICITY_TOKEN, auth="oauth")


ACCOUNTS: dict[str, Callable[[], Account]] = {"wonder": wonder, "paydock": paydock, "monri": monri}


def golden(gateway: str, name: str) -> Any:
    """A documented example."""
    place = files("wonder_customers") / "dialects" / gateway / "golden" / f"{name}.json"
    return json.loads(place.read_text(encoding="utf-8"))


def json_response(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """An answer with a JSON body, raw bytes, or no body; underscores in header names stand for hyphens."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


class MockGateway:
    """The gateway's end of the wire. Without answers left, a request fails the test."""

    def __init__(self, *answers: ScriptedResponse) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def _reply(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self.answers:
            raise AssertionError(f"nothing may be sent any more, but this was: {request.method} {request.url.path}")
        found = self.answers.pop(0)
        return found(request) if callable(found) else found

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        """The request bodies as JSON, None where there is none."""
        return [json.loads(request.content) if request.content else None for request in self.requests]

    def session(self, account: Account, **policy: Any) -> Session:
        """A session that sends here, each call once unless `policy` says otherwise."""
        retry = RetryPolicy(**{"attempts": 1, "base": 0.0, "throttle_base": 0.0, "confirmation_window": 0.0} | policy)
        return CustomerSession(account, retry=retry, transport=httpx.MockTransport(self._reply))
