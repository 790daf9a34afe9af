"""A certificate authority of one test run, which real clients are told to trust.

Programs written in Go read ``SSL_CERT_FILE`` in place of the system's certificates
(https://pkg.go.dev/crypto/x509#SystemCertPool), so that nothing on the machine has to be changed.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority"]

_LIFETIME = timedelta(days=2)


class Authority:
    """A self-signed certificate for *names* and the context of a server that shows it. Its files
    lie in *directory*; the key never leaves it."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pullproof test run")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _LIFETIME)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = directory / "authority.pem"
        """What a client has to trust, as PEM."""
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path = directory / "authority.key"
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For a server that answers by one of the names."""
        self.server_context.load_cert_chain(self.certificate, key_path)
