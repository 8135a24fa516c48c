"""The one TLS context of a process, which all transports share."""

import ssl
from functools import cache

import certifi


@cache
def default_context() -> ssl.SSLContext:
    """Trusts certifi's authorities, from TLS 1.2 on. Building it costs as much as hundreds of requests."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
