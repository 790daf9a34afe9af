"""Which key must have signed a token: its header selects one of ``rootcertbundle`` and ``jwks``.

Header parameters are those of RFC 7515, 4.1: a certificate chain (``x5c``), a key (``jwk``), or a
key's name (``kid``). A header is not verified when it is read, so no key is ever built from it: it
only selects a trusted key, or a certificate that leads to a trusted root.
"""

from __future__ import annotations

import base64
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

PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
_ES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LONGEST_CHAIN = 8
_PUBLIC_MEMBERS = {"RSA": ("e", "n"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""What makes a public key in a JWK (RFC 7638, 3.2), by its ``kty``."""
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LONGEST_MEMBER = 1366
"""Characters: RSA with 8192 bits, in base64url."""


class Untrusted(Exception):
    """The header selects no trusted key. The text says why, for the log."""


# -- keys ---------------------------------------------------------------------------------------
def certificates_in(pem: bytes) -> list[x509.Certificate]:
    """The certificates of *pem*; other content is skipped, as in Go. ``ValueError`` for one that
    cannot be read."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    blocks = [begin + part.partition(end)[0] + end for part in pem.split(begin)[1:]]
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def keys_in(jwks: bytes) -> dict[str, PublicKey]:
    """The public keys of a JWK set (RFC 7517, 5) by ``kid``; unknown and symmetric kinds are
    skipped. ``ValueError`` if *jwks* is not a JWK set."""
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
    """The RFC 7638 thumbprint of *key*."""
    return _thumbprint_of(_as_jwk(key))


def algorithms_for(key: PublicKey, profile: Profile) -> list[str]:
    """The ``alg`` values that a signature by *key* may have (RFC 7518, 3.1; RFC 8037, 3.1). Never
    HMAC: a public key must not serve as a shared secret."""
    if isinstance(key, rsa.RSAPublicKey):
        families = ("RS", "PS") if profile.token_parser == "jose" else ("RS",)
        return [f"{family}{bits}" for family in families for bits in (256, 384, 512)]
    if isinstance(key, ec.EllipticCurvePublicKey):
        return [_ES[key.curve.name]] if key.curve.name in _ES else []
    return ["EdDSA"] if profile.token_parser == "jose" else []


# -- trust --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TrustedKeys:
    """``keys`` by the names that the profile accepts; ``by_thumbprint`` those that a header may
    contain without a name; root certificates."""

    keys: Mapping[str, PublicKey]
    by_thumbprint: Mapping[str, PublicKey]
    roots: tuple[x509.Certificate, ...]

    @classmethod
    def of(
        cls, roots: list[x509.Certificate], jwks: Mapping[str, PublicKey], profile: Profile
    ) -> TrustedKeys:
        """*roots* and the keys of *jwks*, under the names that *profile* accepts."""
        keys = [key for root in roots if isinstance(key := root.public_key(), PublicKey)]
        named: dict[str, PublicKey] = {}
        if "libtrust" in profile.token_key_ids:
            named |= {libtrust_id(key): key for key in keys}
        if "thumbprint" in profile.token_key_ids:
            named |= {thumbprint(key): key for key in keys}
        if "jwks" in profile.token_key_ids:
            named |= jwks
        unnamed = named.values() if "libtrust" in profile.token_key_ids else ()
        return cls(named, {thumbprint(key): key for key in unnamed}, tuple(roots))

    def signer(self, header: Mapping[str, Any], now: datetime) -> PublicKey:
        """The key that must have signed a token with *header*; :class:`Untrusted`. No extension in
        ``crit`` is understood (RFC 7515, 4.1.11)."""
        if "crit" in header:
            raise Untrusted("its header has critical extensions")
        if header.get("x5c"):
            return self._end_of_chain(header["x5c"], now)
        if "jwk" in header:
            return self._embedded(header["jwk"], now)
        kid = header.get("kid")
        if not isinstance(kid, str) or kid not in self.keys:
            raise Untrusted("its header names no trusted key")
        return self.keys[kid]

    def _embedded(self, jwk: Any, now: datetime) -> PublicKey:
        """The trusted key that *jwk* names or equals. The key in *jwk* is never built or used:
        attackers can give theirs the ``kid`` of a trusted one (CVE-2025-24976), and building one
        from chosen numbers (RSA with ``d``) can take forever."""
        if not isinstance(jwk, dict):
            raise Untrusted("the jwk in its header is not an object")
        if _PRIVATE_MEMBERS & jwk.keys():
            raise Untrusted("the jwk in its header has private members")
        if jwk.get("x5c"):
            return self._end_of_chain(jwk["x5c"], now)
        kid = jwk.get("kid")
        if isinstance(kid, str) and kid in self.keys:
            return self.keys[kid]
        key = self.by_thumbprint.get(_thumbprint_of(jwk))
        if key is None:
            raise Untrusted("the jwk in its header is not a trusted key")
        return key

    def _end_of_chain(self, x5c: Any, now: datetime) -> PublicKey:
        try:
            der = [base64.b64decode(item, validate=True) for item in x5c[:_LONGEST_CHAIN]]
            leaf, *others = map(x509.load_der_x509_certificate, der)
            self._verify_chain(leaf, others, now)
            key = leaf.public_key()
        except (
            LookupError,
            TypeError,
            ValueError,
            UnsupportedAlgorithm,
            VerificationError,
        ) as error:
            raise Untrusted(f"its certificates do not lead to a trusted root: {error}") from None
        if not isinstance(key, PublicKey):
            raise Untrusted("its certificate has a key of an unknown kind")
        return key

    def _verify_chain(
        self, leaf: x509.Certificate, others: list[x509.Certificate], now: datetime
    ) -> None:
        if leaf in self.roots:
            if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
                raise VerificationError("it is not valid now")
            return
        if not self.roots:
            raise VerificationError("there are no roots")
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
        raise ValueError("a certificate that is not a CA has issued one")


def _require_signing(
    policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a key that may not sign certificates has signed one")


# RFC 5280, 4.2.1.3 and 4.2.1.9, without the demands on web servers.
_ISSUERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_ca)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing)
)


# -- forms --------------------------------------------------------------------------------------
def _thumbprint_of(jwk: Mapping[str, Any]) -> str:
    """The RFC 7638 thumbprint of *jwk*; :class:`Untrusted` if it lacks a member or one is too
    long."""
    kind = jwk.get("kty")
    names = _PUBLIC_MEMBERS.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise Untrusted("the jwk in its header is of an unknown kind")
    members = {name: jwk.get(name) for name in ("kty", *names)}
    for value in members.values():
        if not isinstance(value, str) or len(value) > _LONGEST_MEMBER:
            raise Untrusted("the jwk in its header has members that are missing or too long")
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")


def _key_of(jwk: Any) -> PublicKey | None:
    """The public key in *jwk*, which is trusted; None for an unknown kind. Private members are left
    out, so that nothing is derived from them."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in _PUBLIC_MEMBERS:
        return None
    public = {name: jwk.get(name) for name in ("kty", *_PUBLIC_MEMBERS[jwk["kty"]])}
    try:
        key = jwt.PyJWK.from_dict(public).key
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PublicKey) else None


def _as_jwk(key: PublicKey) -> dict[str, str]:
    algorithms = jwt.algorithms
    if isinstance(key, rsa.RSAPublicKey):
        return algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    return algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
