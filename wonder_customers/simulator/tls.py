"""An in-memory certificate authority for https origins."""

import ssl
from datetime import UTC, datetime, timedelta

from wonder_customers.errors import needed

with needed("pytest", "trustme", by="the simulator over https"):
    import trustme

_LIFETIMES = {"good": (timedelta(days=-1), timedelta(days=1)), "expired": (timedelta(days=-2), timedelta(days=-1))}


class CertificateAuthority:
    """Issues valid and expired certificates for one host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._authority = trustme.CA()
        self.pem: str = self._authority.cert_pem.bytes().decode("ascii")
        """The authority's certificate in PEM format, which clients must trust."""

    def client_context(self) -> ssl.SSLContext:
        """Return a client TLS context that trusts only this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    def server_context(self, validity: str) -> ssl.SSLContext:
        """Return a server TLS context with a ``good`` or ``expired`` certificate; else raise `ValueError`."""
        if validity not in _LIFETIMES:
            raise ValueError(f"validity must be {' or '.join(_LIFETIMES)}, not {validity!r}")
        begin, end = (datetime.now(UTC) + offset for offset in _LIFETIMES[validity])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(self._host, not_before=begin, not_after=end).configure_cert(context)
        return context
