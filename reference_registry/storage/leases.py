"""Leases: garbage collection skips content that a client or a cache fill relies on.

A client that pushes learns that the registry has a blob (from HEAD, a mount, or the end of an
upload) and pushes the manifest that refers to it later. Until then the blob looks like garbage. So
everything that relies on stored bytes *renews* their lease: it sets the modification time of their
directory, ``blobs/<algorithm>/<xx>/<hex>/``, to now. Writing the bytes sets it too, and it survives
a restart; distribution ignores it.

Finding the bytes, renewing their lease and writing what refers to them happen while the leases are
:meth:`~Leases.held`. The collector checks the lease and removes the bytes while it is
:meth:`~Leases.alone`. So either the collector sees the lease, or the other side finds no bytes.
The process that holds the root directory (``garbage.online``) does both: the lock is in memory.

The term is containerd's (its docs/garbage-collection.md); keeping what was touched recently is
git's idea (``gc.pruneExpire``).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from reference_registry.digest import Digest
from reference_registry.storage import layout
from reference_registry.storage.driver import StorageDriver

_YOUNG = 60 * 10**9
"""Nanoseconds during which a lease is not renewed again."""


class Leases:
    """The leases of the storage at the directory *root*. Without one (a release, or a storage in
    memory) there are no leases."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._lock = threading.Condition()
        self._holders = 0
        self._renewed: set[Digest] | None = None
        """Renewed since the running collection began; None while there is none."""

    @property
    def are_kept(self) -> bool:
        """Whether there are any."""
        return self._root is not None

    # -- for users of stored content --------------------------------------------------------------
    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is collected inside this block. Keep it short: a collector waits. Nests."""
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._lock.notify_all()

    def renew(self, digests: Iterable[Digest]) -> None:
        """Renew the leases of those of *digests* that are stored, inside :meth:`held`."""
        if self._root is None:
            return
        for digest in digests:
            if self._renewed is not None:
                self._renewed.add(digest)
            # It may be missing, and a read-only storage is not collected.
            with contextlib.suppress(OSError):
                os.utime(self._root + layout.blob_directory(digest))

    def use(self, digest: Digest) -> None:
        """Renew the lease of *digest*, if it is stored, before a client learns that it exists.
        Call this first: bytes found afterwards are safe.

        A lease younger than a minute is left alone unless a collection is running, so that serving
        hot content writes nothing to disk.
        """
        modified = self._modified(digest)
        if modified is None:
            return
        is_missed = self._renewed is not None and digest not in self._renewed
        if is_missed or modified <= time.time_ns() - _YOUNG:
            with self.held():
                self.renew([digest])

    # -- for the collector ------------------------------------------------------------------------
    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no request is inside :meth:`held`, and block new ones during this block."""
        with self._lock:
            self._lock.wait_for(lambda: not self._holders)
            yield

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """From here on every renewal counts as a lease, whatever the age limit.
        ``BlockingIOError`` while another collection runs."""
        with self.alone():
            if self._renewed is not None:
                raise BlockingIOError("another garbage collection is running")
            self._renewed = set()
        try:
            yield
        finally:
            self._renewed = None

    def is_leased(self, digest: Digest, since: int) -> bool:
        """Whether the lease of *digest* was renewed during this collection, or at or after *since*
        (ns since 1970)."""
        if self._renewed is not None and digest in self._renewed:
            return True
        modified = self._modified(digest)
        return modified is not None and modified >= since

    def _modified(self, digest: Digest) -> int | None:
        """When the lease was renewed (ns since 1970); None if it is not stored."""
        if self._root is None:
            return None
        try:
            return os.stat(self._root + layout.blob_directory(digest)).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None


_by_root: WeakValueDictionary[str, Leases] = WeakValueDictionary()
_by_root_lock = threading.Lock()


def leases_of(driver: StorageDriver, *, kept: bool) -> Leases:
    """The leases of the storage behind *driver*: the same object for everything in this process
    that opens the same root directory. Without leases unless *kept*."""
    root = driver.local_path("") if kept else None
    if root is None:
        return Leases(None)
    with _by_root_lock:
        return _by_root.setdefault(os.path.abspath(root), Leases(str(root)))
