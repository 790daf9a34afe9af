"""PEM files as Go's crypto/tls and crypto/x509 accept or refuse them.

Only the armour is read, and that a certificate's content is an ASN.1 sequence: who signed whom is
not computed. A certificate is known by its own block of text.
"""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["certificates", "key_pair_problem"]

_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----", re.ASCII
)
_ASN1_SEQUENCE = b"\x30"


def certificates(text: str) -> frozenset[bytes]:
    """The DER content of every certificate in *text*; empty where Go would load none."""
    return frozenset(
        content
        for label, content in _blocks(text)
        if label == "CERTIFICATE" and content.startswith(_ASN1_SEQUENCE)
    )


def key_pair_problem(certificate: str, key: str) -> str | None:
    """What tls.X509KeyPair says of a *certificate* and a *key* file, or None if it takes them."""
    labels = [label for label, _ in _blocks(certificate)]
    if "CERTIFICATE" not in labels:
        if not labels:
            return "tls: failed to find any PEM data in certificate input"
        if len(labels) == 1 and labels[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
            )
        return _skipped('find "CERTIFICATE" PEM block in certificate input', labels)
    labels = [label for label, _ in _blocks(key)]
    if not any(label.endswith("PRIVATE KEY") for label in labels):
        if not labels:
            return "tls: failed to find any PEM data in key input"
        if labels == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        return _skipped('find PEM block with type ending in "PRIVATE KEY" in key input', labels)
    return None


def _skipped(what: str, labels: list[str]) -> str:
    types = " ".join(labels)
    return f"tls: failed to {what} after skipping PEM blocks of the following types: [{types}]"


def _blocks(text: str) -> list[tuple[str, bytes]]:
    found = []
    for label, encoded in _BLOCK.findall(text):
        try:
            content = base64.b64decode("".join(encoded.split()), validate=True)
        except binascii.Error:
            continue
        found.append((label, content))
    return found
