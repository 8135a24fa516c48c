"""An in-memory certificate authority for https origins."""

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALIDITY = {"good": (timedelta(days=-1), timedelta(days=1)), "expired": (timedelta(days=-2), timedelta(days=-1))}


class CertificateAuthority:
    """Issues valid and expired certificates for one host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wonder_customers simulator CA")])
        now = datetime.now(UTC)
        usage = {"key_cert_sign": True, "crl_sign": True, "digital_signature": True}
        certificate = (
            self._builder(self._name, self._key, now - timedelta(days=3), now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(**usage), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem: str = certificate.public_bytes(serialization.Encoding.PEM).decode()
        """The authority's certificate in PEM format, which clients must trust."""

    def client_context(self) -> ssl.SSLContext:
        """Return a client TLS context that trusts only this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem)
        return context

    def server_context(self, validity: str) -> ssl.SSLContext:
        """Return a server TLS context with a ``good`` or ``expired`` certificate; else raise `ValueError`."""
        if validity not in _VALIDITY:
            raise ValueError(f"validity must be {' or '.join(_VALIDITY)}, not {validity!r}")
        key = ec.generate_private_key(ec.SECP256R1())
        begin, end = (datetime.now(UTC) + offset for offset in _VALIDITY[validity])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._host)])
        certificate = (
            self._builder(name, key, begin, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(self._alternatives()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        layout, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, layout, plain)
        pem += certificate.public_bytes(serialization.Encoding.PEM)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The ssl module loads server certificates only from files.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "server.pem")
            file.write_bytes(pem)
            context.load_cert_chain(file)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer, critical=False)
        )

    def _alternatives(self) -> list[x509.GeneralName]:
        try:
            return [x509.IPAddress(ipaddress.ip_address(self._host))]
        except ValueError:
            return [x509.DNSName(self._host)]


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    names += " crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names.split()})
