"""Keys, certificates and tokens of a token server that exists in tests only."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ISSUER, SERVICE = "the issuer", "the service"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def certificate(
    name: str,
    key: PrivateKey,
    issuer: tuple[x509.Certificate, PrivateKey] | None = None,
    *,
    ca: bool = False,
    days: tuple[int, int] = (-1, 9),
    usage: x509.KeyUsage | None = None,
) -> x509.Certificate:
    """Issued by *issuer*, or by itself; valid between *days* from now."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def x5c(*chain: x509.Certificate) -> list[str]:
    """As the header parameter has it."""
    return [base64.b64encode(item.public_bytes(Encoding.DER)).decode() for item in chain]


def jwk_of(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """The public half of *key*, with *members* besides."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), **members}
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {**jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True), **members}
    return {**jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True), **members}


class TokenServer:
    """Signs tokens for *now*: with ``root`` where nothing else is said."""

    def __init__(self) -> None:
        self.root = rsa.generate_private_key(65537, 2048)
        self.root_certificate = certificate("root", self.root, ca=True)
        self.curve = ec.generate_private_key(ec.SECP256R1())
        self.curve_certificate = certificate("curve", self.curve, ca=True)
        self.listed = ec.generate_private_key(ec.SECP384R1())
        self.edwards = ed25519.Ed25519PrivateKey.generate()

    @property
    def bundle(self) -> bytes:
        """The content of ``rootcertbundle``."""
        chain = (self.root_certificate, self.curve_certificate)
        return b"".join(item.public_bytes(Encoding.PEM) for item in chain)

    @property
    def jwks(self) -> bytes:
        """The content of ``jwks``."""
        keys = [jwk_of(self.listed, kid="listed"), jwk_of(self.edwards, kid="edwards")]
        return json.dumps({"keys": keys}).encode()

    def token(
        self,
        key: PrivateKey | None = None,
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A good token but for *claims*; one that is ``...`` is left out."""
        now = int(datetime.now(UTC).timestamp())
        good: dict[str, Any] = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "bob",
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "access": [{"type": "repository", "name": "app", "actions": ["pull", "push"]}],
        }
        for name, change in claims.items():
            # A number is how many seconds from now.
            moment = name in {"exp", "nbf"} and type(change) is int
            good[name] = now + change if moment else change
        content = {name: value for name, value in good.items() if value is not ...}
        own = {"x5c": x5c(self.root_certificate)} if header is None else header
        return jwt.encode(content, key or self.root, algorithm, headers=own)
