"""Wonder's ``Wonder-RSA-SHA256`` signature.

Sources: Wonder's "Authentication" page for the headers, and Wonder's PHP client for the order of the steps.
"""

import hmac
from base64 import b64encode
from functools import cache, lru_cache
from hashlib import sha256
from time import gmtime, strftime
from typing import TYPE_CHECKING

from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret

# The cryptographic library is loaded with the first key, so that sessions for other gateways start faster.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256

ALGORITHM = "Wonder-RSA-SHA256"


def load_key(pem: Secret) -> "RSAPrivateKey":
    r"""Return the RSA private key in a PEM string. Line breaks may be written as ``\n``, as in environment files.

    Raises:
        ConfigurationError: `pem` is not an unencrypted RSA key of 2048 bits or more.
    """
    key = _load(pem)
    if isinstance(key, str):
        raise ConfigurationError(key)
    return key


@lru_cache(maxsize=32)  # loading a key takes 50 ms
def _load(pem: Secret) -> "RSAPrivateKey | str":
    """Return the key, or the message of an error."""
    # The caller raises the error, so that no frame of its traceback contains the revealed key.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem.reveal().replace("\\n", "\n").strip().encode(), password=None)
    except TypeError:
        return "private_key is encrypted. Pass an unencrypted key."
    except (ValueError, UnsupportedAlgorithm):
        return "private_key is not a valid key in PEM format. Pass its text, which is like -----BEGIN PRIVATE KEY-----…"
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        return "private_key must be an RSA key of at least 2048 bits"
    return key


def request_time(now: float) -> str:
    """Return a Unix time in Wonder's format, ``YYYYMMDDHHMMSS`` in UTC."""
    return strftime("%Y%m%d%H%M%S", gmtime(now))


def request_message(nonce: str, time: str, method: str, uri: str, body: bytes) -> bytes:
    """Return the 64 hexadecimal characters that are signed."""
    first = hmac.digest(nonce.encode(), time.encode(), sha256)
    second = hmac.digest(first, ALGORITHM.encode(), sha256)
    content = f"{method}\n{uri}".encode() + (b"\n" + body if body else b"")
    return hmac.digest(second, content, sha256).hex().encode()


@cache
def _scheme() -> "tuple[PKCS1v15, SHA256]":
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    return PKCS1v15(), SHA256()


def signature(key: "RSAPrivateKey", message: bytes) -> bytes:
    """Return the value of the ``Signature`` header: the RSASSA-PKCS1-v1_5 signature with SHA-256 in base64."""
    return b64encode(key.sign(message, *_scheme()))
