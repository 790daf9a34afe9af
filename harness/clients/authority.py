"""Certificate authorities of one test run, which real clients trust.

Programs written in Go read ``SSL_CERT_FILE`` instead of the system's certificates
(https://pkg.go.dev/crypto/x509#SystemCertPool), so nothing on the machine changes.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=2)


class Authority:
    """A self-signed certificate for *names*, which are host names or IP addresses, and the TLS
    context of a server that presents it. Writes PEM files into *directory*. *called* is its common
    name."""

    def __init__(
        self, directory: Path, names: Collection[str], called: str = "pullproof test run"
    ) -> None:
        self._directory = directory
        self._name = _common_name(called)
        self._key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        self.certificate, self.key_path = self._issue(
            "authority", self._name, self._key, alternatives, ca=True
        )
        """The certificate that a client must trust, as PEM, and the private key."""
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For a server that answers under one of the names."""
        self.server_context.load_cert_chain(self.certificate, self.key_path)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Sign a certificate for a client called *name*; returns the files of it and its key."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        key = ec.generate_private_key(ec.SECP256R1())
        return self._issue(name, _common_name(name), key, usage, ca=False)

    def _issue(
        self,
        file: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        ca: bool,
    ) -> tuple[Path, Path]:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_key_usage(ca=ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path, key_path = self._directory / f"{file}.pem", self._directory / f"{file}.key"
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


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    """RFC 5280, 4.2.1.3: an authority has it. Python 3.13 refuses one without it."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Certificates:
    """A trusted and an untrusted authority for servers called *names* (host names and IP
    addresses), with all certificates as files in *directory*."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        authorities: dict[bool, Authority] = {}
        for trusted, name in ((True, "trusted"), (False, "untrusted")):
            (own := directory / name).mkdir()
            authorities[trusted] = Authority(own, names, f"pullproof {name} authority")
        certificate, key = (path.read_text() for path in authorities[True].issue("client"))
        texts = {trusted: one.certificate.read_text() for trusted, one in authorities.items()}
        self.trusted = ssl.PEM_cert_to_DER_cert(texts[True])
        self.untrusted = ssl.PEM_cert_to_DER_cert(texts[False])
        self.files: Mapping[str, str] = {
            "trustedca.crt": texts[True],
            "untrustedca.crt": texts[False],
            "client.crt": certificate,
            "client.key": key,
            "client.pem": certificate + key,
        }
        """The text of each file by name."""
        for name, text in self.files.items():
            (directory / name).write_text(text)
        self.system_roots = directory / "trustedca.crt"
        """The value of ``SSL_CERT_FILE``."""
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        for trusted, authority in authorities.items():
            self._contexts[trusted, False] = authority.server_context
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key_path)
            context.load_verify_locations(cadata=texts[True])
            context.verify_mode = ssl.CERT_REQUIRED
            self._contexts[trusted, True] = context

    def context(self, *, trusted: bool, asks_for_client: bool) -> ssl.SSLContext:
        """The TLS context of a server with a certificate of the trusted or the other authority."""
        return self._contexts[trusted, asks_for_client]
