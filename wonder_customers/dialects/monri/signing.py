"""Monri's ``WP3-v2.1`` digest.

Source: Monri's page "Requirements - API v2". The tests reproduce its published example. A third party observed at the
test gateway that the signed path includes the query.
"""

from hashlib import sha512


def digest(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> str:
    """Return the SHA-512 digest of the arguments, joined without separators, in lower-case hexadecimal.

    Args:
        merchant_key: The merchant's secret key.
        timestamp: Unix time in seconds, as sent in the header.
        authenticity_token: The merchant's public token.
        fullpath: The path and query exactly as sent.
        body: The exact bytes sent; empty for GET and DELETE.
    """
    signed = f"{merchant_key}{timestamp}{authenticity_token}{fullpath}".encode() + body
    return sha512(signed).hexdigest()


def authorization(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> bytes:
    """Return the value of the ``Authorization`` header: scheme, token, time and digest, separated by single spaces."""
    signature = digest(merchant_key, timestamp, authenticity_token, fullpath, body)
    return f"WP3-v2.1 {authenticity_token} {timestamp} {signature}".encode("ascii")
