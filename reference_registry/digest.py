"""Content digests: parsing, computing, and the one place that knows the algorithms.

Grammar and registered algorithms: OCI image-spec, descriptor.md, section "Digests".
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from hashlib import _Hash

Digest = NewType("Digest", str)
"""A digest that :func:`parse_digest` accepted, such as ``sha256:`` and 64 hex digits."""

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_LONGEST = len("sha512:") + 128
_GRAMMAR = re.compile(r"(sha256|sha512):([0-9a-f]+)")


def parse_digest(text: str) -> Digest | None:
    """*text* as a digest, or None where it is not one that this registry can verify."""
    return _parsed(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Digest | None:
    match = _GRAMMAR.fullmatch(text)
    if match is None or len(match[2]) != _HEX_LENGTH[match[1]]:
        return None
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    """``sha256`` or ``sha512``."""
    return digest.partition(":")[0]


def encoded_of(digest: Digest) -> str:
    """The hex part."""
    return digest.partition(":")[2]


def hasher_for(digest: Digest) -> _Hash:
    """A fresh hash object of the algorithm of *digest*."""
    return hashlib.new(algorithm_of(digest))


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of *content* under *algorithm* (``sha256`` or ``sha512``)."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
