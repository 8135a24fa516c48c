"""Verification of Wonder's signatures, written from its documents."""

import base64
import binascii
import hmac
import re
from collections.abc import Container
from datetime import UTC, datetime
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from wonder_customers.simulator.gateway import GatewayRefusal, ReceivedRequest

ALGORITHM = "Wonder-RSA-SHA256"
CLOCK_WINDOW = 30 * 60
"""The greatest difference of a request's time in seconds."""


def credential(request: ReceivedRequest, app_ids: Container[str], now: float) -> tuple[str, str]:
    """Return the AppID and the request time of the `Credential` header.

    Raises:
        GatewayRefusal: It is malformed, its time is outside the window, or the AppID is unknown.
    """
    parts = request.headers.get("credential", "").split("/")
    if len(parts) != 3 or parts[2] != ALGORITHM or not re.fullmatch(r"[0-9]{14}", parts[1]):
        raise refusal(401, "E000002", "Invalid Credential Format.")
    app_id, request_time, _ = parts
    if app_id not in app_ids:
        raise refusal(401, "E000005", "Unknown AppID.")
    try:
        sent = datetime.strptime(request_time, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise refusal(401, "E000002", "Invalid Credential Format.") from None
    if abs(sent.timestamp() - now) > CLOCK_WINDOW:
        raise refusal(401, "E000006", "Request Time Expired.")
    return app_id, request_time


def check_signature(request: ReceivedRequest, request_time: str, private_key: str) -> None:
    """Check the `Nonce` and `Signature` headers against the request's method, target and body.

    Raises:
        GatewayRefusal: The signature was not made with `private_key` for this request.
    """
    nonce = request.headers.get("nonce", "")
    if not re.fullmatch(r"[0-9A-Za-z]{16}", nonce):
        raise refusal(401, "E000003", "Invalid Nonce Format.")
    try:
        signature = base64.b64decode(request.headers.get("signature", ""), validate=True)
        key = _public_key(private_key)
        key.verify(signature, message(nonce, request_time, request), padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, InvalidSignature):
        raise refusal(401, "E000004", "Invalid Signature.") from None


def message(nonce: str, request_time: str, request: ReceivedRequest) -> bytes:
    """Return the signed message: 64 hexadecimal digits, as ASCII."""
    key = hmac.digest(nonce.encode(), request_time.encode(), "sha256")
    key = hmac.digest(key, ALGORITHM.encode(), "sha256")
    content = request.method.upper().encode() + b"\n" + request.target
    if request.body:
        content += b"\n" + request.body
    return hmac.digest(key, content, "sha256").hex().encode()


def new_key() -> str:
    """Return a new private key as PEM text."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, layout, serialization.NoEncryption()).decode()


@cache
def first_key() -> str:
    """Return the key of every store's first merchant. It is generated once, because that takes long."""
    return new_key()


@cache
def _public_key(private_key: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_private_key(private_key.encode(), None).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("the key must be an RSA key")
    return key


def refusal(status: int, code: str, text: str) -> GatewayRefusal:
    """Return a refusal in Wonder's form."""
    return GatewayRefusal(status, {"code": code, "message": text})
