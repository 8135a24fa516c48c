"""TLS: the one context of a process, which all transports share, and what a caller's own must keep."""

import ssl
from functools import cache
from typing import Final

import certifi

from wonder_customers.errors import ConfigurationError

__all__ = ["default_context", "verified"]

_NEW_ENOUGH: Final = frozenset({ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED})


@cache
def default_context() -> ssl.SSLContext:
    """Trusts certifi's authorities, from TLS 1.2 on. Building it costs as much as hundreds of requests.

    The environment has no say in it: ``SSLKEYLOGFILE`` writes no keys, ``SSL_CERT_FILE`` adds no authority.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The standard library has opened the file that the environment names, and would write every session's keys there.
    context.keylog_filename = None  # type: ignore[assignment]  # typeshed does not know that None closes it
    return context


def verified(context: object) -> ssl.SSLContext:
    """`context`, if it makes sure of who answers.

    Raises:
        ConfigurationError: It is no `ssl.SSLContext`, does not check certificates or host names, or takes less than
            TLS 1.2.
    """
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {type(context).__name__}")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "ssl_context must check certificates (CERT_REQUIRED) and host names, or anyone in between could read cards"
            " and keys. For a gateway with a certificate of its own, trust that one: load_verify_locations(cafile=…)"
        )
    if context.minimum_version not in _NEW_ENOUGH:
        raise ConfigurationError("ssl_context must refuse what is older than TLS 1.2: set its minimum_version")
    return context
