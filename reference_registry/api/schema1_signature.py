"""The JSON web signature of a schema 1 manifest, in the form of Docker's libtrust.

A registry signs with a key that it made up at start and nobody knows, so the signature proves
nothing; it is made because the media type promises one. ECDSA on P-256 (FIPS 186-4, 6) in plain
Python is slow and leaks its timing, which is of no consequence for such a key; for anything else it
would be wrong to use.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from datetime import datetime

__all__ = ["SigningKey", "signed"]

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_DER_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point's coordinates."""

_Point = tuple[int, int] | None
"""None is the point at infinity."""


class SigningKey:
    """A private key, and the JSON web key (RFC 7517) of its public half."""

    def __init__(self, secret: int | None = None) -> None:
        self._secret = secret or secrets.randbelow(_N - 1) + 1
        public = _multiply(self._secret, _G)
        assert public is not None
        self.x, self.y = (coordinate.to_bytes(32, "big") for coordinate in public)

    def jwk(self) -> dict[str, str]:
        return {
            "crv": "P-256",
            "kid": self._key_id(),
            "kty": "EC",
            "x": _base64url(self.x),
            "y": _base64url(self.y),
        }

    def sign(self, message: bytes) -> bytes:
        """``r`` and ``s`` of ES256 (RFC 7518, 3.4), 64 bytes."""
        digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
        while True:
            nonce = secrets.randbelow(_N - 1) + 1
            point = _multiply(nonce, _G)
            r = point[0] % _N if point else 0
            s = pow(nonce, -1, _N) * (digest + r * self._secret) % _N
            if r and s:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _key_id(self) -> str:
        """libtrust's fingerprint: 12 groups of 4 letters."""
        fingerprint = hashlib.sha256(_DER_PREFIX + self.x + self.y).digest()[:30]
        text = base64.b32encode(fingerprint).decode("ascii")
        return ":".join(text[i : i + 4] for i in range(0, len(text), 4))


def signed(payload: bytes, key: SigningKey, now: datetime) -> bytes:
    """*payload*, a JSON object indented by three spaces, with ``signatures`` at its end."""
    head = payload.rstrip().removesuffix(b"}").rstrip()
    protected = _base64url(
        json.dumps(
            {
                "formatLength": len(head),
                "formatTail": _base64url(payload[len(head) :]),
                "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            separators=(",", ":"),
        ).encode()
    )
    signature = key.sign(f"{protected}.{_base64url(payload)}".encode("ascii"))
    signatures = json.dumps(
        [
            {
                "header": {"jwk": key.jwk(), "alg": "ES256"},
                "signature": _base64url(signature),
                "protected": protected,
            }
        ],
        indent=3,
    ).replace("\n", "\n   ")
    return head + f',\n   "signatures": {signatures}\n}}'.encode("ascii")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _multiply(factor: int, point: _Point) -> _Point:
    result: _Point = None
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def _add(a: _Point, b: _Point) -> _Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if a[1] != b[1]:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P
