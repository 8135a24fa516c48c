"""Accounts for tests, and a mock gateway that sends scripted responses and records all requests."""

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
"""A call of a session's method."""

ScriptedResponse = httpx.Response | Callable[[httpx.Request], httpx.Response] | Any
"""A response, a function that returns it, its status and body, or the body of a response with HTTP 200."""


@cache
def private_key(number: int = 0) -> str:
    """Return an RSA key, which all tests share, because generating one is slow."""
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
    """Return a documented example body."""
    place = files("wonder_customers") / "dialects" / gateway / "golden" / f"{name}.json"
    return json.loads(place.read_text(encoding="utf-8"))


def json_response(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """Return a response with a JSON body, raw bytes or no body; underscores in header names become hyphens."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


class MockGateway:
    """A gateway that sends `responses` in order. A request after the last response fails the test."""

    def __init__(self, *responses: ScriptedResponse) -> None:
        self.responses = list(responses)
        self.requests: list[httpx.Request] = []

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self.responses:
            raise AssertionError(f"unexpected request: {request.method} {request.url.path}")
        response = self.responses.pop(0)
        if callable(response):
            return response(request)
        if isinstance(response, httpx.Response):
            return response
        return json_response(*response) if isinstance(response, tuple) else json_response(200, response)

    @property
    def lines(self) -> list[str]:
        """The request lines, such as ``GET /v1/customers``."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        """The parsed JSON bodies of the requests, None for an empty body."""
        return [json.loads(request.content) if request.content else None for request in self.requests]

    def session(self, account: Account | str, **policy: Any) -> Session:
        """Return a session connected to this gateway, with one attempt per call unless `policy` changes it.

        The account may be the name of its gateway.
        """
        account = ACCOUNTS[account]() if isinstance(account, str) else account
        retry = RetryPolicy(**{"attempts": 1, "base": 0.0, "throttle_base": 0.0, "confirmation_window": 0.0} | policy)
        return CustomerSession(account, retry=retry, transport=self.transport())

    def transport(self) -> httpx.MockTransport:
        """Return an httpx transport connected to this gateway."""
        return httpx.MockTransport(self._respond)


async def read_empty_list(session: Session, **options: Any) -> None:
    """List the customers of a gateway that has none."""
    async for _ in session.list(**options):
        raise AssertionError("the listing must be empty")
