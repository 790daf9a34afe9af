"""Whose signature counts: the keys of ``rootcertbundle`` and ``jwks``, and what a token's header
says of the key that signed it.

Header parameters are those of RFC 7515, 4.1: a certificate chain (``x5c``), a key (``jwk``), or a
key's name (``kid``). Whatever a header brings along counts only as far as it leads to a key or a
certificate that is trusted already.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from reference_registry.profiles import Profile

__all__ = [
    "PublicKey",
    "TrustedKeys",
    "Untrusted",
    "algorithms_for",
    "certificates_in",
    "keys_in",
    "libtrust_id",
    "thumbprint",
]

PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
_ES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LONGEST_CHAIN = 8


class Untrusted(Exception):
    """No trusted key has signed the token; the text says why, for the log."""


# -- keys ---------------------------------------------------------------------------------------
def certificates_in(pem: bytes) -> list[x509.Certificate]:
    """The certificates of *pem*; other things in it are passed over, as by Go. ``ValueError`` for
    one that cannot be read."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    blocks = [begin + part.partition(end)[0] + end for part in pem.split(begin)[1:]]
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def keys_in(jwks: bytes) -> dict[str, PublicKey]:
    """Public keys by ``kid`` of a JWK set (RFC 7517, 5); keys of kinds that are unknown or secret
    are passed over. ``ValueError`` where *jwks* is no such set."""
    document = json.loads(jwks)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError('no object with a list of "keys"')  # noqa: TRY004 - the content is wrong
    found = {}
    for jwk in listed:
        key = _key_of(jwk)
        if key is not None:
            found[str(jwk.get("kid", ""))] = key
    return found


def libtrust_id(key: PublicKey) -> str:
    """The name that Docker's libtrust gives to *key*: ``ABCD:EFGH:...``."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode("ascii")
    return ":".join(text[start : start + 4] for start in range(0, 48, 4))


def thumbprint(key: PublicKey) -> str:
    """RFC 7638."""
    required = ("crv", "e", "kty", "n", "x", "y")
    members = {name: value for name, value in _as_jwk(key).items() if name in required}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")


def algorithms_for(key: PublicKey, profile: Profile) -> list[str]:
    """The ``alg`` that a signature by *key* may have (RFC 7518, 3.1; RFC 8037, 3.1). Never one
    with a shared secret, which a public key must not be mistaken for."""
    if isinstance(key, rsa.RSAPublicKey):
        families = ("RS", "PS") if profile.token_parser == "jose" else ("RS",)
        return [f"{family}{bits}" for family in families for bits in (256, 384, 512)]
    if isinstance(key, ec.EllipticCurvePublicKey):
        return [_ES[key.curve.name]] if key.curve.name in _ES else []
    return ["EdDSA"] if profile.token_parser == "jose" else []


# -- trust --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TrustedKeys:
    """``keys`` by the names that the profile knows them by, and root certificates."""

    keys: Mapping[str, PublicKey]
    roots: tuple[x509.Certificate, ...]

    @classmethod
    def of(
        cls, roots: list[x509.Certificate], jwks: Mapping[str, PublicKey], profile: Profile
    ) -> TrustedKeys:
        named: dict[str, PublicKey] = {}
        for root in roots:
            key = root.public_key()
            if not isinstance(key, PublicKey):
                continue
            if "libtrust" in profile.token_key_ids:
                named[libtrust_id(key)] = key
            if "thumbprint" in profile.token_key_ids:
                named[thumbprint(key)] = key
        if "jwks" in profile.token_key_ids:
            named.update(jwks)
        return cls(named, tuple(roots))

    def signer(self, header: Mapping[str, Any], now: datetime) -> PublicKey:
        """The key that a token with *header* has to be signed with; :class:`Untrusted`."""
        if header.get("x5c"):
            return self._end_of_chain(header["x5c"], now)
        if "jwk" in header:
            return self._embedded(header["jwk"], now)
        return self._named(header.get("kid"))

    def _named(self, kid: Any) -> PublicKey:
        key = self.keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Untrusted("its header names no key that is trusted")
        return key

    def _embedded(self, jwk: Any, now: datetime) -> PublicKey:
        """The trusted key that *jwk* is. The one in the header is never used itself: whoever
        made the token could give it the name of a trusted one (CVE-2025-24976)."""
        if isinstance(jwk, dict) and jwk.get("x5c"):
            return self._end_of_chain(jwk["x5c"], now)
        key = _key_of(jwk)
        if key is None:
            raise Untrusted("the key in its header is none")
        names = (jwk.get("kid"), libtrust_id(key))
        return self._named(next((n for n in names if isinstance(n, str) and n in self.keys), None))

    def _end_of_chain(self, x5c: Any, now: datetime) -> PublicKey:
        try:
            leaf, *others = [_certificate(item) for item in x5c[:_LONGEST_CHAIN]]
            self._verify_chain(leaf, others, now)
            key = leaf.public_key()
        except (TypeError, ValueError, UnsupportedAlgorithm, VerificationError) as error:
            raise Untrusted(f"its certificates lead to no trusted root: {error}") from None
        if not isinstance(key, PublicKey):
            raise Untrusted("its certificate is for another kind of key")
        return key

    def _verify_chain(
        self, leaf: x509.Certificate, others: list[x509.Certificate], now: datetime
    ) -> None:
        if leaf in self.roots:
            if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
                raise VerificationError("it is not valid now")
            return
        if not self.roots:
            raise VerificationError("there is none")
        verifier = (
            PolicyBuilder()
            .store(Store(list(self.roots)))
            .time(now)
            .extension_policies(ca_policy=_ISSUERS, ee_policy=ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        verifier.verify(leaf, others)


def _require_ca(
    policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("a certificate that may not issue others has issued one")


def _require_signing(
    policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a key that may not sign certificates has signed one")


# RFC 5280, 4.2.1.3 and 4.2.1.9. What servers of the web have to show besides is not asked for.
_ISSUERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_ca)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing)
)


# -- forms --------------------------------------------------------------------------------------
def _certificate(item: Any) -> x509.Certificate:
    if not isinstance(item, str):
        raise TypeError("no text")
    try:
        return x509.load_der_x509_certificate(base64.b64decode(item, validate=True))
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _key_of(jwk: Any) -> PublicKey | None:
    """The public key in *jwk*; None where it holds none of a known kind."""
    try:
        key = jwt.PyJWK.from_dict(jwk).key
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(
        key,
        rsa.RSAPrivateKey
        | ec.EllipticCurvePrivateKey
        | ed25519.Ed25519PrivateKey
        | ed448.Ed448PrivateKey,
    ):
        key = key.public_key()
    return key if isinstance(key, PublicKey) else None


def _as_jwk(key: PublicKey) -> dict[str, str]:
    algorithms = jwt.algorithms
    if isinstance(key, rsa.RSAPublicKey):
        return algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    return algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
