"""Monri's ``WP3-v2.1`` digest.

Source: Monri's page "Requirements - API v2". A third party observed at the test gateway that the signed path includes
the query.
"""

from hashlib import sha512


def digest(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> str:
    """Return the SHA-512 digest of the arguments, joined without separators, in lower-case hexadecimal."""
    signed = f"{merchant_key}{timestamp}{authenticity_token}{fullpath}".encode() + body
    return sha512(signed).hexdigest()


def authorization(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> bytes:
    """Return the value of the ``Authorization`` header."""
    signature = digest(merchant_key, timestamp, authenticity_token, fullpath, body)
    return f"WP3-v2.1 {authenticity_token} {timestamp} {signature}".encode("ascii")
