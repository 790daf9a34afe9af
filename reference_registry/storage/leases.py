"""What is in use although no manifest refers to it yet: leases that garbage collection respects.

A client that pushes is told of a blob that it is there (by HEAD, a mount, or the end of an upload)
and pushes the manifest that refers to it later. From the first of these on until the second the
blob is garbage by all that the storage tells. So everything that relies on stored bytes *renews*
their lease: it sets the modification time of the directory that holds them,
``blobs/<algorithm>/<xx>/<hex>/``, to now. Distribution does not look at that time, and writing the
bytes sets it too, whichever registry writes them.

Finding the bytes, renewing their lease and writing what refers to them happen while the root
directory is locked shared (a directory, so that serving adds no file to distribution's own); a
collector looks at the lease and takes the bytes away while it holds that lock alone. So either the
collector sees the lease, or the other finds no bytes. The kernel lets go of the lock when its
holder dies. Where there are no such locks nobody waits, and the moment between a look and a
deletion is unguarded.

The term is containerd's (its docs/garbage-collection.md); the idea of keeping what was touched of
late is git's (``gc.pruneExpire``).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from reference_registry.digest import Digest
from reference_registry.storage import layout
from reference_registry.storage.driver import StorageDriver

__all__ = ["Leases"]

_BEGAN = "/.pullproof/garbage-collected"
"""Storage path of an empty file, whose time is when the last collection began."""
_YOUNG = 60 * 10**9
"""Nanoseconds."""
_LONGEST_TICK = 2.5
"""Seconds. FAT keeps even seconds, and no file system keeps less."""

_log = logging.getLogger(__name__)


class Leases:
    """The leases of the storage behind *driver*. Not *kept* where the profile has none, or nobody
    else can see the storage: then everything here does nothing."""

    def __init__(self, driver: StorageDriver, *, kept: bool) -> None:
        root = driver.local_path("") if kept else None
        self._root = None if root is None else str(root)
        self._has_told = False

    @property
    def are_kept(self) -> bool:
        """Whether there are any."""
        return self._root is not None

    # -- whoever relies on what is stored ---------------------------------------------------------
    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this lasts nothing is collected. It is to be short, since a collector waits."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def renew(self, digests: Iterable[Digest]) -> None:
        """Renew the leases of those of *digests* that are stored, while they are :meth:`held`."""
        if self._root is None:
            return
        for digest in digests:
            # A read-only storage is not collected either.
            with contextlib.suppress(OSError):
                os.utime(self._root + layout.blob_directory(digest))

    def use(self, digest: Digest) -> None:
        """Renew the lease of *digest*, if that is stored, for a client who is about to be told of
        it or given it: whoever calls this first and then finds the bytes may rely on them.

        A lease that is younger than a minute and than the last collection is left as it is, so
        that serving something over and over writes nothing to the disk.
        """
        if self._root is None:
            return
        renewed = self.renewed_at(digest)
        if renewed is None:
            return
        if renewed <= time.time_ns() - _YOUNG or renewed <= (self.changed_at(_BEGAN) or 0):
            with self.held():
                self.renew([digest])

    # -- whoever collects -------------------------------------------------------------------------
    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While this lasts nobody renews a lease or relies on what it finds."""
        with self._locked(fcntl.LOCK_EX):
            yield

    def begin_collection(self) -> int:
        """The moment, in the file system's own time (ns since 1970), before which a lease was
        renewed for the last time if nobody has renewed it since this call began.

        Waits for that clock to tick, since whatever is renewed within a tick has the same time.
        """
        if self._root is None:
            return self.now()
        path = Path(self._root + _BEGAN)
        give_up = time.monotonic() + _LONGEST_TICK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            first = _touched(path)
            while (now := _touched(path)) == first and time.monotonic() < give_up:
                time.sleep(0.0005)  # Nothing tells that the kernel's clock has ticked.
            return now
        except OSError as error:
            self._tell(error)
            return self.now()

    def now(self) -> int:
        """The moment (ns since 1970), for who will not delete anything."""
        return time.time_ns()

    def renewed_at(self, digest: Digest) -> int | None:
        """When the lease of *digest* was renewed (ns since 1970); None where it is not stored."""
        return self.changed_at(layout.blob_directory(digest))

    def changed_at(self, path: str) -> int | None:
        """When what is at the storage path *path* was written; None where there is nothing."""
        if self._root is None:
            return None
        try:
            return os.stat(self._root + path).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None

    # -- the lock ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = self._open()
        if descriptor is None:
            yield
            return
        try:
            # It belongs to the open file, so each holder opens it for itself.
            try:
                fcntl.flock(descriptor, how)
            except OSError as error:
                self._tell(error)
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int | None:
        if self._root is None:
            return None
        try:
            return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # Nothing is stored yet.
            return None
        except OSError as error:
            self._tell(error)
            return None

    def _tell(self, error: OSError) -> None:
        if not self._has_told:
            _log.warning("no lock between garbage collection and its users: %s", error)
        self._has_told = True


def _touched(path: Path) -> int:
    path.touch()
    return os.stat(path).st_mtime_ns
