"""Fixtures: servers, and clients with their own signatures that share no code with the library."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from wonder_customers.dialects.monri import simulator as monri_simulate
from wonder_customers.dialects.paydock import simulator as paydock_simulate
from wonder_customers.dialects.wonder import simulator as wonder_simulate
from wonder_customers.dialects.wonder import simulator_signature
from wonder_customers.simulator import SimulatorServer

SIMULATORS = (wonder_simulate.SIMULATOR, paydock_simulate.SIMULATOR, monri_simulate.SIMULATOR)
OPENAPI = "/svc/payment/api/v1/openapi"


class Caller:
    """Sends signed requests to the gateways; the target is sent unchanged."""

    def __init__(self, server: SimulatorServer, environment: dict[str, str] | None = None) -> None:
        self.server = server
        self.environment = environment or server.environment()
        # Loading the certificates takes 60 ms, and the server has none.
        self.client = httpx.Client(timeout=60, trust_env=False, verify=False)

    def send(self, method: str, target: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        extensions = {"target": target.encode()}
        content, origin = encoded(body), self.server.origin
        return self.client.request(method, origin, content=content, headers=headers, extensions=extensions)

    def wonder_headers(
        self, method: str, target: str, body: bytes, *, age: float = 0, nonce: str = "0123456789abcDEF"
    ) -> dict[str, str]:
        moment = datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y%m%d%H%M%S")
        message = self.wonder_message(nonce, moment, method, target, body)
        signature = rsa_key(self.environment["WONDER_PRIVATE_KEY"]).sign(
            message.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        return {
            "Credential": f"{self.environment['WONDER_APP_ID']}/{moment}/Wonder-RSA-SHA256",
            "Nonce": nonce,
            "Signature": base64.b64encode(signature).decode(),
            "Content-Type": "application/json",
        }

    @staticmethod
    def wonder_message(nonce: str, moment: str, method: str, target: str, body: bytes) -> str:
        first = hmac.new(nonce.encode(), moment.encode(), "sha256").digest()
        second = hmac.new(first, b"Wonder-RSA-SHA256", "sha256").digest()
        content = f"{method}\n{target}".encode() + (b"\n" + body if body else b"")
        return hmac.new(second, content, "sha256").hexdigest()

    def wonder(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Send a request below Wonder's prefix."""
        target, content = OPENAPI + path, encoded(body)
        return self.send(method, target, content, self.wonder_headers(method, target, content, **options))

    def paydock(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request below `/v1`, by default with the secret key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = named or {"x-user-secret-key": self.environment["PAYDOCK_SECRET_KEY"]}
        return self.send(method, f"/v1{path}", body, named)

    def monri_headers(self, target: str, body: bytes, **changed: str) -> dict[str, str]:
        key = changed.get("key", self.environment["MONRI_MERCHANT_KEY"])
        token = changed.get("token", self.environment["MONRI_AUTHENTICITY_TOKEN"])
        moment = changed.get("timestamp", str(int(time.time())))
        digest = hashlib.sha512(f"{key}{moment}{token}{target}".encode() + body).hexdigest()
        return {"Authorization": f"WP3-v2.1 {token} {moment} {digest}"}

    def monri(self, method: str, path: str, body: Any = None, **changed: str) -> httpx.Response:
        """Send a request below `/v2`."""
        target, content = f"/v2{path}", encoded(body)
        return self.send(method, target, content, self.monri_headers(target, content, **changed))


@cache
def rsa_key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def encoded(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()


@pytest.fixture
def simulators() -> tuple[type[Any], ...]:
    return SIMULATORS


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SIMULATORS) as server:
        yield server


@pytest.fixture
def call(shared_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """Return a client with its own merchant at every gateway. One RSA key is shared to save time."""
    monkeypatch.setattr(simulator_signature, "new_key", simulator_signature.first_key)
    environment: dict[str, str] = {}
    for gateway in shared_server.gateways.values():
        environment |= gateway.add_merchant(shared_server.origin)
    caller = Caller(shared_server, environment)
    yield caller
    caller.client.close()


@pytest.fixture
def caller_of() -> Iterator[Callable[[SimulatorServer], Caller]]:
    """Return a function that creates clients of other servers."""
    made: list[Caller] = []

    def make(server: SimulatorServer) -> Caller:
        made.append(Caller(server))
        return made[-1]

    yield make
    for caller in made:
        caller.client.close()


@pytest.fixture
def caller(server: SimulatorServer, caller_of: Callable[[SimulatorServer], Caller]) -> Caller:
    """Return a client of the test's server."""
    return caller_of(server)
