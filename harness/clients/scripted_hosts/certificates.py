"""Two authorities, one that clients trust, servers' certificates of both, and a client's.

Programs written in Go read ``SSL_CERT_FILE`` in place of the system's certificates
(https://pkg.go.dev/crypto/x509#SystemCertPool), so that nothing on the machine has to be changed.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

__all__ = ["CLIENT", "Certificates"]

CLIENT = "client"
"""The common name in the client's certificate."""
_LIFETIME = timedelta(days=2)
_Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class _Signed:
    certificate: x509.Certificate
    key: _Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class Certificates:
    """All of them, for servers that are called *names* (host names and IP addresses), as files in
    *directory*."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        trusted, untrusted = _authority("trusted"), _authority("untrusted")
        client = _signed(CLIENT, (), trusted)
        self.trusted, self.untrusted = trusted.der, untrusted.der
        """The authorities, as DER."""
        self.files: Mapping[str, str] = {
            "trustedca.crt": trusted.pem,
            "untrustedca.crt": untrusted.pem,
            "client.crt": client.pem,
            "client.key": client.key_pem,
            "client.pem": client.pem + client.key_pem,
        }
        """Their texts by name."""
        self.directory = directory
        for name, text in self.files.items():
            (directory / name).write_text(text)
        self.system_roots = directory / "trustedca.crt"
        """What ``SSL_CERT_FILE`` is to name."""
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        for trust, authority in ((True, trusted), (False, untrusted)):
            server = _signed("server", names, authority)
            file = directory / f"server-{trust}.pem"
            file.touch(mode=0o600)
            file.write_text(server.pem + server.key_pem)
            for asks in (True, False):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(file)
                if asks:
                    context.load_verify_locations(cadata=trusted.pem)
                    context.verify_mode = ssl.CERT_REQUIRED
                self._contexts[trust, asks] = context

    def context(self, *, trusted: bool, asks_for_client: bool) -> ssl.SSLContext:
        """For a server whose certificate is signed by the trusted authority or by the other."""
        return self._contexts[trusted, asks_for_client]


def _authority(name: str) -> _Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"pullproof {name} authority")
    certificate = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return _Signed(certificate, key)


def _signed(name: str, names: Collection[str], authority: _Signed) -> _Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(name), authority.certificate.subject, key)
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    return _Signed(builder.sign(authority.key, SHA256()), key)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
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
