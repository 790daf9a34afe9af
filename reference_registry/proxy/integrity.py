"""Whether a cached blob still has its bytes: disks lose bits, and restored backups bring back files
of the same length with other content.

Hashing a layer each time it is served would cost more than sending it, since its bytes never enter
this process. So the stamp of a file - size, inode and the kernel's times - is kept when the file is
known to be right, and a blob is hashed again only if its file has another stamp, or is seen for the
first time since the start. With ``proxy.x-verify: always`` it is hashed each time, and with
``never`` not at all. Manifests are verified whenever they are read.

No file says how large a blob has to be. Manifests do, and a client that pulls a blob has nearly
always pulled a manifest that names it before.
"""

from __future__ import annotations

import asyncio
import logging
import os

from reference_registry.config import Verify
from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.manifest import ManifestInvalid, parse_manifest
from reference_registry.proxy.tasks import Background, SingleFlight
from reference_registry.repository import Descriptor
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound

_AT_ONCE = 8 * 1024 * 1024
"""Bytes up to which a blob that is seen for the first time is hashed before it is served. A larger
one is hashed while it is served: its client verifies it too, and tries again."""
_MOST = 200_000
"""Digests that are kept, some 80 MB; beyond that the memory is cleared."""

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int]
"""Size in bytes, inode, and the times of the last change of content and of inode in nanoseconds:
what changes if a file is written to or replaced."""


class KnownSizes(dict[Digest, int]):
    """Sizes in bytes by digest. No I/O."""

    def allow(self, digest: Digest, size: int) -> bool:
        """Whether content of *size* bytes can be that of *digest*, by what is known."""
        if size == 0:  # What most files are after a power cut, or on a full disk.
            return digest == digest_of(b"", algorithm_of(digest))
        return self.get(digest, size) == size

    def learn(self, digest: Digest, size: int) -> None:
        """Verified content of *digest* has *size* bytes."""
        if len(self) >= _MOST:
            self.clear()
        self[digest] = size

    def learn_manifest(self, digest: Digest, content: bytes) -> None:
        """Learn the size of *content*, which has *digest*, and the sizes that it gives for its
        blobs. These may be wrong: sizes of verified blobs take precedence."""
        self.learn(digest, len(content))
        try:
            blobs = parse_manifest(content).blobs
        except ManifestInvalid:
            return
        for blob in blobs:
            if blob.size and blob.digest not in self:
                self.learn(blob.digest, blob.size)


class Integrity:
    """Knows which files of *blobs* have not changed since they were verified."""

    def __init__(self, blobs: BlobStore, verify: Verify, background: Background) -> None:
        self.sizes = KnownSizes()
        self._blobs = blobs
        self._verify = verify
        self._background = background
        self._right: dict[Digest, tuple[str, _Stamp]] = {}
        """The path and the stamp of each verified file."""
        self._joined: SingleFlight[Digest, bool] = SingleFlight()

    def learn(self, digest: Digest, size: int) -> None:
        """The stored *size* bytes of *digest* have just been verified."""
        self.sizes.learn(digest, size)
        stamp = self._stamp(digest)
        if stamp is not None:
            self._remember(digest, stamp)

    async def may_serve(self, cached: Descriptor) -> bool:
        """Whether the stored blob *cached* may be served. If a manifest gives another size for it,
        either may be wrong, since the manifest may be another repository's: the blob is hashed.

        A damaged blob is removed, before this returns or, if it is large and was never verified,
        soon after.
        """
        digest = cached.digest
        if not self.sizes.allow(digest, cached.size):
            if not await self.verify(digest):
                return False
            self.sizes.learn(digest, cached.size)
            return True
        return await self._is_unchanged(digest)

    async def _is_unchanged(self, digest: Digest) -> bool:
        right = self._right.get(digest)
        if right is not None and self._verify == "on-change" and _stamp_of(right[0]) == right[1]:
            return True
        stamp = None if self._verify == "never" else self._stamp(digest)
        if stamp is None:  # Not a file, or not to be verified.
            return True
        if self._verify == "on-change" and right is None and stamp[0] > _AT_ONCE:
            self._background.start(self.verify(digest))
            return True
        return await self.verify(digest)

    async def are_damaged(self, digest: Digest, size: int | None) -> bool:
        """Whether the stored bytes of *digest*, which upstream says has *size* bytes, are damaged.
        If the size differs all are hashed, since upstream may be wrong. ``PathNotFound``."""
        if self._blobs.size(digest) != size:
            return not await asyncio.to_thread(self._blobs.verify, digest)
        return not await self._is_unchanged(digest)

    async def verify(self, digest: Digest) -> bool:
        """Hash the stored bytes. If they are wrong they are removed."""
        return await self._joined.run(digest, lambda: self._is_right(digest))

    async def stop(self) -> None:
        """Cancel what is being hashed."""
        await self._joined.stop()

    async def _is_right(self, digest: Digest) -> bool:
        """Hash the blob, and keep its stamp or remove it. False if it is gone."""
        while (stamp := self._stamp(digest)) is not None:
            try:
                right = await asyncio.to_thread(self._blobs.verify, digest)
            except PathNotFound:
                break
            except OSError as error:  # The disk cannot read it any more.
                _log.error("%s cannot be read: %s", digest, error)
                right = False
            if stamp != self._stamp(digest):  # It was replaced meanwhile.
                continue
            if right:
                self._remember(digest, stamp)
                return True
            _log.warning("%s is damaged: removed, and fetched again when it is needed", digest)
            self._blobs.delete(digest)
            break
        self._right.pop(digest, None)
        return False

    def _remember(self, digest: Digest, stamp: _Stamp) -> None:
        if len(self._right) >= _MOST:
            self._right.clear()
        self._right[digest] = (str(self._blobs.local_path(digest)), stamp)

    def _stamp(self, digest: Digest) -> _Stamp | None:
        path = self._blobs.local_path(digest)
        return None if path is None else _stamp_of(str(path))


def _stamp_of(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
