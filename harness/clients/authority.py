"""A certificate authority of one test run, that real clients trust.

Programs written in Go read ``SSL_CERT_FILE`` instead of the system's certificates
(https://pkg.go.dev/crypto/x509#SystemCertPool), so that nothing on the machine has to change.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority"]

_LIFETIME = timedelta(days=2)


class Authority:
    """A self-signed certificate for *names*, which are host names or IP addresses, and the TLS
    context of a server that presents it. Writes PEM files into *directory*. *called* is its common
    name."""

    def __init__(
        self, directory: Path, names: Collection[str], called: str = "pullproof test run"
    ) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(called)
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(alternatives, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate, self.key_path = self._write("authority", certificate, self._key)
        """The certificate that a client must trust, as PEM, and the private key."""
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For a server that answers under one of the names."""
        self.server_context.load_cert_chain(self.certificate, self.key_path)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Sign a certificate for a client called *name*; returns the files of it and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_subject(name), self._name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return self._write(name, certificate, key)

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> tuple[Path, Path]:
        path, key_path = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path, key_path


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
