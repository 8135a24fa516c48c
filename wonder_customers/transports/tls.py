"""The default TLS context, and the requirements for a context passed by the caller."""

import ssl
from functools import cache
from typing import Any, Final

import certifi

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import TransportError

_ACCEPTED_MINIMUM: Final = frozenset({ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED})


@cache
def default_context() -> ssl.SSLContext:
    """Return the context shared by all transports of the process."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # create_default_context() has opened the file named by SSLKEYLOGFILE; None closes it.
    context.keylog_filename = None  # type: ignore[assignment]  # typeshed allows only a path
    return context


def check_alpn(tls: Any) -> None:
    """Raise `TransportError` if a TLS connection was negotiated for another protocol than HTTP/1.1."""
    protocol = None if tls is None else tls.selected_alpn_protocol()
    if protocol not in {None, "http/1.1"}:
        reason = f"the TLS handshake negotiated {protocol!r}, but the transport supports only HTTP/1.1"
        hint = 'Call ssl_context.set_alpn_protocols(["http/1.1"]).'
        raise TransportError(reason, retryable=False, hint=hint)


def verified(context: object) -> ssl.SSLContext:
    """Return `context`. Raise `ConfigurationError` if it is not secure."""
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {type(context).__name__}")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "ssl_context must verify certificates (CERT_REQUIRED) and host names; otherwise, cards and keys could be"
            " intercepted. Create it with ssl.create_default_context(cafile=…)."
        )
    if context.minimum_version not in _ACCEPTED_MINIMUM:
        raise ConfigurationError(
            "ssl_context must not accept versions older than TLS 1.2. Set its minimum_version to TLSVersion.TLSv1_2."
        )
    if getattr(context, "keylog_filename", None) is not None:  # typeshed does not allow None
        raise ConfigurationError("ssl_context must not write its keys to a file. Set its keylog_filename to None.")
    if any(cipher["strength_bits"] == 0 or cipher.get("auth") == "auth-null" for cipher in context.get_ciphers()):
        raise ConfigurationError(
            "ssl_context must not accept ciphers without encryption or authentication (NULL). Call its"
            ' set_ciphers("DEFAULT").'
        )
    return context
