"""How large content is that this process knows of, so that a damaged file is noticed. No I/O.

Nothing on disk says how large a blob has to be. Manifests do, and who pulls a blob has nearly
always pulled one before.
"""

from __future__ import annotations

from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.manifest import ManifestInvalid, parse_manifest

__all__ = ["KnownSizes"]

_MOST = 200_000
"""Sizes that are remembered, some 30 MB; after that the memory starts anew."""


class KnownSizes:
    """Sizes in bytes by digest."""

    def __init__(self) -> None:
        self._sizes: dict[Digest, int] = {}

    def get(self, digest: Digest) -> int | None:
        """None where it is not known."""
        return self._sizes.get(digest)

    def allow(self, digest: Digest, size: int) -> bool:
        """Whether content of *size* bytes may be that of *digest*, for all that is known."""
        if size == 0:  # What a disk that was full, or a power cut, leaves of most files.
            return digest == digest_of(b"", algorithm_of(digest))
        return self._sizes.get(digest, size) == size

    def learn(self, digest: Digest, size: int) -> None:
        """Content of *digest* has been seen and has *size* bytes."""
        if len(self._sizes) >= _MOST:
            self._sizes.clear()
        self._sizes[digest] = size

    def learn_manifest(self, digest: Digest, content: bytes) -> None:
        """*content*, which has *digest*, has been seen, and what it says of its blobs. That may be
        wrong: what was seen of the blobs themselves counts more."""
        self.learn(digest, len(content))
        try:
            blobs = parse_manifest(content).blobs
        except ManifestInvalid:
            return
        for blob in blobs:
            if blob.size and blob.digest not in self._sizes:
                self.learn(blob.digest, blob.size)
