"""Whether a cached blob still has its bytes: a disk forgets bits, and a restored backup brings
back others of the same length.

Hashing a layer each time it is served would cost more than sending it, since its bytes never enter
this process. So what a file was when it was last known to be right is remembered - size, inode and
the times that the kernel keeps - and a blob is hashed again when its file is no longer that, or is
seen for the first time since the start. Where ``proxy.x-verify`` is ``always`` it is hashed each
time, and where it is ``never`` not at all. Manifests are verified whenever they are read.
"""

from __future__ import annotations

import asyncio
import logging
import os

from reference_registry.config import Verify
from reference_registry.digest import Digest
from reference_registry.proxy.background import Background
from reference_registry.proxy.single_flight import SingleFlight
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound

__all__ = ["Integrity"]

_AT_ONCE = 8 * 1024 * 1024
"""Bytes up to which a blob that is seen for the first time is hashed before it is served. A larger
one is hashed while it is served: its client verifies it too, and tries again."""
_MOST = 200_000
"""Files that are remembered, some 50 MB; after that the memory starts anew."""

_log = logging.getLogger(__name__)


_Stamp = tuple[int, int, int, int]
"""What changes when a file is written to or replaced: its size in bytes and its inode, and when its
content and its inode were last changed, in nanoseconds."""


class Integrity:
    """Knows which files of *blobs* are as they were when they were verified."""

    def __init__(self, blobs: BlobStore, verify: Verify, background: Background) -> None:
        self._blobs = blobs
        self._verify = verify
        self._background = background
        self._right: dict[Digest, tuple[str, _Stamp]] = {}
        """The path of each, and what its file was."""
        self._joined: SingleFlight[Digest, bool] = SingleFlight()

    def learn(self, digest: Digest) -> None:
        """The stored bytes of *digest* have just been verified."""
        stamp = self._stamp(digest)
        if stamp is not None:
            self._remember(digest, stamp)

    async def may_serve(self, digest: Digest) -> bool:
        """Whether the stored bytes of *digest* may be served. Where they turn out to be others they
        are gone, be it now or, for a large blob on its first use, in a moment."""
        right = self._right.get(digest)
        if right is not None and self._verify == "on-change" and _stamp_of(right[0]) == right[1]:
            return True
        stamp = None if self._verify == "never" else self._stamp(digest)
        if stamp is None:  # Not a file, or nothing to be done about it.
            return True
        if self._verify == "on-change" and right is None and stamp[0] > _AT_ONCE:
            self._background.start(self._look_at(digest))
            return True
        return await self.verify(digest)

    async def verify(self, digest: Digest) -> bool:
        """Whether the stored bytes are right, by hashing them. Where they are not they are gone."""
        return await self._joined.run(digest, lambda: self._is_right(digest))

    async def stop(self) -> None:
        """Leave off what is being verified."""
        await self._joined.stop()

    async def _look_at(self, digest: Digest) -> None:
        await self.verify(digest)

    async def _is_right(self, digest: Digest) -> bool:
        """Hash the blob; remember it, or remove what lies in its place. False where it is gone."""
        while (stamp := self._stamp(digest)) is not None:
            try:
                right = await asyncio.to_thread(self._blobs.verify, digest)
            except PathNotFound:
                break
            except OSError as error:  # The disk cannot read it any more.
                _log.error("%s cannot be read: %s", digest, error)
                right = False
            if stamp != self._stamp(digest):  # Somebody has replaced it meanwhile.
                continue
            if right:
                self._remember(digest, stamp)
                return True
            _log.warning("%s is damaged: removed, to be fetched again", digest)
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
