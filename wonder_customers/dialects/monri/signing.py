"""Monri's ``WP3-v2.1`` digest.

Source: Monri's "Requirements - API v2", whose published example this reproduces; that the query belongs to the signed
path was seen against the test gateway by a third party.
"""

from hashlib import sha512


def digest(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> str:
    """The lower-case hexadecimal SHA-512 of key, time, token, path and body, without separators.

    Args:
        merchant_key: The merchant's secret.
        timestamp: Unix time in seconds, as it stands in the header.
        authenticity_token: The merchant's public id.
        fullpath: Path and query exactly as sent.
        body: The exact bytes sent; empty for GET and DELETE.
    """
    signed = f"{merchant_key}{timestamp}{authenticity_token}{fullpath}".encode() + body
    return sha512(signed).hexdigest()


def authorization(merchant_key: str, timestamp: str, authenticity_token: str, fullpath: str, body: bytes) -> bytes:
    """The value of the ``Authorization`` header: scheme, token, time and digest with single blanks."""
    mark = digest(merchant_key, timestamp, authenticity_token, fullpath, body)
    return f"WP3-v2.1 {authenticity_token} {timestamp} {mark}".encode("ascii")
