"""The verification of Wonder's signatures for the simulator, implemented from Wonder's documentation."""

import base64
import binascii
import hmac
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from wonder_customers.simulator.authentication import (
    AuthenticationReport,
    described_mistake,
    readable,
    seconds_apart,
    signing_mistakes,
)
from wonder_customers.simulator.gateway import GatewayRefusal, ReceivedRequest

ALGORITHM = "Wonder-RSA-SHA256"
CLOCK_WINDOW = 30 * 60
"""Maximum difference in seconds between the time of a request and the clock of the gateway."""
_NONCE = re.compile(r"[0-9A-Za-z]{16}")


def credential(request: ReceivedRequest, app_ids: Container[str], now: float) -> tuple[str, str]:
    """Return the AppID and the request time of the `Credential` header.

    Raises:
        GatewayRefusal: The header is refused.
    """
    parts = request.headers.get("credential", "").split("/")
    if len(parts) != 3 or parts[2] != ALGORITHM or not re.fullmatch(r"[0-9]{14}", parts[1]):
        raise refusal(401, "E000002", "Invalid Credential Format.")
    app_id, request_time, _ = parts
    if app_id not in app_ids:
        raise refusal(401, "E000005", "Unknown AppID.")
    try:
        sent = _unix_time(request_time)
    except ValueError:
        raise refusal(401, "E000002", "Invalid Credential Format.") from None
    if abs(sent - now) > CLOCK_WINDOW:
        raise refusal(401, "E000006", "Request Time Expired.")
    return app_id, request_time


def check_signature(request: ReceivedRequest, request_time: str, private_key: str) -> None:
    """Check the `Nonce` and `Signature` headers against the request's method, target and body.

    Raises:
        GatewayRefusal: The nonce or the signature is invalid.
    """
    nonce = request.headers.get("nonce", "")
    if _NONCE.fullmatch(nonce) is None:
        raise refusal(401, "E000003", "Invalid Nonce Format.")
    try:
        signature = base64.b64decode(request.headers.get("signature", ""), validate=True)
        key = _public_key(private_key)
        key.verify(signature, message(nonce, request_time, request), padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, InvalidSignature):
        raise refusal(401, "E000004", "Invalid Signature.") from None


def message(nonce: str, request_time: str, request: ReceivedRequest) -> bytes:
    """Return the signed message: 64 hexadecimal digits in ASCII."""
    return _message(nonce, request_time, content(request.method, request.target, request.body))


def content(method: str, target: bytes, body: bytes) -> bytes:
    """Return the content of a request from which the message is computed."""
    return method.upper().encode() + b"\n" + target + (b"\n" + body if body else b"")


def _message(nonce: str, request_time: str, content: bytes) -> bytes:
    key = hmac.digest(nonce.encode(), request_time.encode(), "sha256")
    key = hmac.digest(key, ALGORITHM.encode(), "sha256")
    return hmac.digest(key, content, "sha256").hex().encode()


def report(request: ReceivedRequest, merchants: Mapping[str, Mapping[str, str]], now: float) -> AuthenticationReport:
    """Return a report on the check of the signature of a request that was received at `now`."""
    headers = request.headers
    steps = {name: headers.get(name.lower(), "") for name in ("Credential", "Nonce", "Signature")}
    app_id, request_time = (*steps["Credential"].split("/"), "", "")[:2]
    if re.fullmatch(r"[0-9]{14}", request_time):
        with suppress(ValueError):
            steps["Request time"] = f"{request_time}: {seconds_apart(_unix_time(request_time) - now)}"
    try:
        credential(request, merchants, now)
    except GatewayRefusal as found:
        return AuthenticationReport(False, _credential_problem(found.body["code"], steps), steps)
    if _NONCE.fullmatch(steps["Nonce"]) is None:
        return AuthenticationReport(False, "The Nonce header must be 16 ASCII letters or digits.", steps)
    steps["Signed content"] = readable(content(request.method, request.target, request.body))
    steps["Signed message"] = message(steps["Nonce"], request_time, request).decode()
    try:
        check_signature(request, request_time, merchants[app_id]["private_key"])
    except GatewayRefusal:
        reason = _mistake(request, request_time, merchants[app_id]["private_key"])
        return AuthenticationReport(False, reason, steps)
    return AuthenticationReport(True, "The signature is valid.", steps)


def _credential_problem(code: str, steps: Mapping[str, str]) -> str:
    if code == "E000005":
        return "The AppID belongs to no merchant of this simulator."
    if code == "E000006":
        difference = steps["Request time"].partition(": ")[2]
        return f"The request time, in UTC, is {difference}. At most {CLOCK_WINDOW // 60} minutes are allowed."
    return f"The Credential header must be AppID/YYYYMMDDHHMMSS/{ALGORITHM}, with the time in UTC."


def _mistake(request: ReceivedRequest, request_time: str, private_key: str) -> str:
    """Describe the mistake that caused a wrong signature."""
    try:
        signature = base64.b64decode(request.headers.get("signature", ""), validate=True)
    except binascii.Error:
        return "The Signature header is not base64."
    if not signature:
        return "The Signature header is missing or empty."
    try:
        signed = _public_key(private_key).recover_data_from_signature(signature, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return (
            "Either the private key is not the key of this AppID, or the signature was not made with RSA, PKCS #1"
            " v1.5 and SHA-256."
        )
    nonce = request.headers.get("nonce", "")
    candidates = [*signing_mistakes(request.method, request.target, request.body, request.origin)]
    for words, target, body in candidates:
        if signed == sha256(_message(nonce, request_time, content(request.method, target, body))).digest():
            return described_mistake(words, target, request.target)
    return (
        "The private key is correct, but another message was signed. Either the method, the path, the body, the nonce"
        " or the time was changed after signing, or the steps of the signature were made in another order."
    )


def _unix_time(request_time: str) -> float:
    return datetime.strptime(request_time, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()


def new_key() -> str:
    """Return a new private key in PEM format."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, layout, serialization.NoEncryption()).decode()


@cache  # one key for all stores of the process, because generating a key is slow
def first_key() -> str:
    """Return the key of the first merchant of every store."""
    return new_key()


@cache
def _public_key(private_key: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_private_key(private_key.encode(), None).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("the key must be an RSA key")
    return key


def refusal(status: int, code: str, text: str) -> GatewayRefusal:
    """Return a refusal in Wonder's format."""
    return GatewayRefusal(status, {"code": code, "message": text})
