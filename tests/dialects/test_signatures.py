"""Signatures of sent requests, compared with the published vector, the computed steps and ``openssl``."""

import base64
import hashlib
import hmac
import re
import shutil
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import (
    ACCESS_TOKEN,
    APP_ID,
    AUTHENTICITY_TOKEN,
    MERCHANT_KEY,
    SECRET_KEY,
    MockGateway,
    json_response,
    monri,
    monri_oauth,
    paydock,
    private_key,
    wonder,
)
from signature_vectors import (
    MONRI_BODY,
    MONRI_DIGEST,
    MONRI_KEY,
    MONRI_PATH,
    MONRI_TIME,
    MONRI_TOKEN,
    ROOT,
    WONDER_VECTORS,
)

from wonder_customers import CustomerDraft, Monri, Paydock, Phone, Secret, Wonder, WonderFilter
from wonder_customers.dialects.monri.signing import authorization, digest
from wonder_customers.dialects.wonder.signing import load_key, request_message, request_time

OPENSSL = shutil.which("openssl")


@pytest.mark.parametrize(("method", "uri", "body", "expected"), WONDER_VECTORS, ids=["get", "query", "post"])
def test_wonder_signed_message_matches_the_independent_computation(
    method: str, uri: str, body: bytes, expected: str
) -> None:
    assert request_message("0000000000000000", "20240501120123", method, uri, body) == expected.encode()


def test_wonder_request_time_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Hong_Kong")
    time.tzset()
    try:
        assert request_time(datetime(2024, 5, 1, 12, 1, 23, 999_000, UTC).timestamp()) == "20240501120123"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_monri_published_digest_is_reproduced() -> None:
    signed = (MONRI_KEY, MONRI_TIME, MONRI_TOKEN, MONRI_PATH, MONRI_BODY)
    assert digest(*signed) == MONRI_DIGEST
    assert authorization(*signed).decode() == f"WP3-v2.1 {MONRI_TOKEN} {MONRI_TIME} {MONRI_DIGEST}"


def _wonder_response(request: httpx.Request) -> httpx.Response:
    customer = {"uuid": UUID, "reference_number": "35", "name": "Ada", "phone": "1"}
    data = {"customer": customer, "customers": [customer], "payment_tokens": [], "success": True}
    return json_response(200, {"code": 200, "message": "success", "data": data}, X_Total_Entries="1")


def _signed_content(request: httpx.Request) -> bytes:
    """Return the message that Wonder signs, computed from a received request as its page describes."""
    _, time, _ = request.headers["credential"].split("/")
    first = hmac.new(request.headers["nonce"].encode(), time.encode(), hashlib.sha256).digest()
    second = hmac.new(first, b"Wonder-RSA-SHA256", hashlib.sha256).digest()
    content = request.method.encode() + b"\n" + request.url.raw_path
    if request.content:
        content += b"\n" + request.content
    return hmac.new(second, content, hashlib.sha256).hexdigest().encode()


async def _wonder_calls(account: Wonder) -> list[httpx.Request]:
    wire = MockGateway(*[_wonder_response] * 4)
    async with wire.session(account) as session:
        await session.create(CustomerDraft(reference="35", name="禚雨欣", phone=Phone("+852", "1")))
        await session.get_by_reference("35")
        _ = [it async for it in session.list(filter=WonderFilter(name="Ada Lovelace"))]
        await session.delete_payment_token(UUID, "tok")
    return wire.requests


@pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not installed")
@pytest.mark.parametrize("form", ["PKCS#1", "PKCS#8"])
async def test_openssl_verifies_wonder_signatures(tmp_path: Path, form: str) -> None:
    assert OPENSSL
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"

    def openssl(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([OPENSSL or "", *arguments], capture_output=True, check=False)

    assert openssl("genrsa", "-out", str(private), "2048").returncode == 0
    assert openssl("rsa", "-in", str(private), "-pubout", "-out", str(public)).returncode == 0
    if form == "PKCS#1":
        assert openssl("rsa", "-in", str(private), "-traditional", "-out", str(private)).returncode == 0
    assert ("BEGIN RSA PRIVATE KEY" in private.read_text()) == (form == "PKCS#1")
    requests = await _wonder_calls(Wonder(APP_ID, private.read_text()))
    assert [request.method for request in requests] == ["POST", "GET", "GET", "DELETE"]
    for number, request in enumerate(requests):
        signature, signed = tmp_path / f"{number}.sig", tmp_path / f"{number}.txt"
        signature.write_bytes(base64.b64decode(request.headers["signature"], validate=True))
        signed.write_bytes(_signed_content(request))
        verify = ("dgst", "-sha256", "-verify", str(public), "-signature", str(signature))
        assert openssl(*verify, str(signed)).stdout.strip() == b"Verified OK"
        signed.write_bytes(_signed_content(request)[:-1] + b"!")
        assert openssl(*verify, str(signed)).returncode != 0


async def test_wonder_requests_have_the_documented_form() -> None:
    requests = await _wonder_calls(wonder())
    for request in requests:
        app_id, time, algorithm = request.headers["credential"].split("/")
        assert (app_id, algorithm) == (APP_ID, "Wonder-RSA-SHA256")
        moment = datetime.strptime(time, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
        assert re.fullmatch("[0-9A-Za-z]{16}", request.headers["nonce"])
        assert request.headers["content-type"] == "application/json"
        mark = uuid.UUID(request.headers["x-request-id"])
        assert (mark.version, str(mark)) == (4, request.headers["x-request-id"])
        assert "authorization" not in request.headers
    assert len({request.headers["nonce"] for request in requests}) == len(requests)
    assert len({request.headers["x-request-id"] for request in requests}) == len(requests)
    created, looked_up, listed, deleted = requests
    assert listed.url.raw_path.decode() == (
        f"{ROOT}/customers?limit=100&offset=0&filter%5Bname%5D%5B_eq%5D=Ada%20Lovelace"
    )
    assert '"name":"禚雨欣"'.encode() in created.content
    for request in (created, deleted):
        assert request.headers["content-length"] == str(len(request.content))
    assert "content-length" not in looked_up.headers


CUSTOMER = {"uuid": UUID, "status": "approved", "merchant_customer_id": "35"}


async def test_monri_digest_covers_path_query_and_body() -> None:
    wire = MockGateway(
        CUSTOMER, {"status": "approved", "data": []}, {"status": "approved", "id": UUID, "deleted": True}
    )
    async with wire.session("monri") as session:
        await session.create(CustomerDraft(reference="35", name="Đorđe"))
        _ = [it async for it in session.list(limit=20)]
        await session.delete(UUID)
    assert wire.lines == ["POST /v2/customers", "GET /v2/customers?limit=20&offset=0", f"DELETE /v2/customers/{UUID}"]
    for request in wire.requests:
        scheme, token, timestamp, mark = request.headers["authorization"].split(" ")
        assert (scheme, token) == ("WP3-v2.1", AUTHENTICITY_TOKEN)
        assert re.fullmatch("[0-9]{10}", timestamp)
        assert abs(int(timestamp) - datetime.now(UTC).timestamp()) < 60
        signed = f"{MERCHANT_KEY}{timestamp}{token}".encode() + request.url.raw_path + request.content
        assert mark == hashlib.sha512(signed).hexdigest()
        assert request.headers["accept"] == "application/json"
        assert request.headers["content-type"] == "application/json"
    assert [bool(request.content) for request in wire.requests] == [True, False, False]


async def test_path_of_base_url_is_signed() -> None:
    wire = MockGateway(CUSTOMER)
    account = Monri(MERCHANT_KEY, AUTHENTICITY_TOKEN, base_url="https://proxy.example/monri/")
    async with wire.session(account) as session:
        await session.get_by_reference("35")
    assert wire.lines == ["GET /monri/v2/merchants/customers/35"]
    _, token, timestamp, mark = wire.requests[0].headers["authorization"].split(" ")
    assert mark == digest(MERCHANT_KEY, timestamp, token, "/monri/v2/merchants/customers/35", b"")


@pytest.mark.parametrize(
    ("account", "header", "value", "other"),
    [
        (paydock(), "x-user-secret-key", SECRET_KEY, "x-access-token"),
        (Paydock(access_token=ACCESS_TOKEN), "x-access-token", ACCESS_TOKEN, "x-user-secret-key"),
    ],
    ids=["secret key", "access token"],
)
async def test_paydock_sends_one_credential(account: Paydock, header: str, value: str, other: str) -> None:
    wire = MockGateway({"status": 200, "error": None, "resource": {"type": "customer", "data": {"_id": HEX24}}})
    async with wire.session(account) as session:
        await session.get(HEX24)
    headers = wire.requests[0].headers
    assert headers[header] == value
    assert other not in headers
    assert "x-user-public-key" not in headers
    assert headers["content-type"] == "application/json"


async def test_monri_bearer_token_is_fetched_and_used() -> None:
    token = {"status": "approved", "access_token": "bearer-1", "token_type": "Bearer", "expires_in": 3600}
    wire = MockGateway(token, CUSTOMER)
    async with wire.session(monri_oauth()) as session:
        await session.get(UUID)
    asked, used = wire.requests
    assert wire.lines == ["POST /v2/oauth", f"GET /v2/customers/{UUID}"]
    assert wire.bodies[0] == {
        "client_id": AUTHENTICITY_TOKEN,
        "client_secret": MERCHANT_KEY,
        "grant_type": "client_credentials",
        "scopes": ["customers", "payment-methods"],
    }
    assert "authorization" not in asked.headers
    assert used.headers["authorization"] == "Bearer bearer-1"


@pytest.mark.parametrize("account", [wonder(), paydock(), monri()], ids=["wonder", "paydock", "monri"])
def test_sandbox_is_the_default(account: Wonder | Paydock | Monri) -> None:
    sandboxes = {
        "Wonder": ("https://gateway-stg.wonder.today", "https://gateway.wonder.today"),
        "Paydock": ("https://api-sandbox.paydock.com/v1/", "https://api.paydock.com/v1/"),
        "Monri": ("https://ipgtest.monri.com", "https://ipg.monri.com"),
    }
    assert (account.base_url, type(account).PRODUCTION) == sandboxes[type(account).__name__]


def test_private_key_is_loaded_once() -> None:
    """Loading and checking an RSA key takes 50 ms, so accounts with the same key share the loaded one."""
    pem = Secret(private_key())
    assert load_key(pem) is load_key(Secret(pem.reveal()))
