"""Which process fetches a blob, where several share a storage.

A claim is a locked file, ``/.pullproof/fills/<algorithm>-<hex>``, that tells where the bytes are
being written to, so that the others can read along. It goes with the fill; what is left of one that
was killed tells which upload to remove. Distribution looks at nothing outside of ``/docker``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from reference_registry.digest import Digest, algorithm_of, encoded_of
from reference_registry.names import is_repository_name
from reference_registry.storage.file_lock import FileLock
from reference_registry.storage.uploads import is_upload_id

__all__ = ["FILLS", "Announcement", "Claim", "Claims"]

FILLS = "/.pullproof/fills"
"""Storage path of the directory of claims."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announcement:
    """What the holder of a claim tells the others: a blob of ``size`` bytes (None where upstream
    did not tell) is being written to ``upload`` of ``repository``."""

    repository: str
    upload: str
    size: int | None
    media_type: str

    def render(self) -> bytes:
        """As the claim's file has it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, content: bytes) -> Announcement | None:
        """None for what is empty, half written, or may not stand in a path."""
        try:
            told = json.loads(content)
            repository, upload = told["repository"], told["upload"]
            size, media_type = told["size"], told["media_type"]
            if not (is_repository_name(repository) and is_upload_id(upload)):
                return None
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if not isinstance(size, int | None) or not isinstance(media_type, str):
            return None
        return cls(repository, upload, size, media_type)


class Claim:
    """The right to fetch a blob, until :meth:`release`."""

    def __init__(self, lock: FileLock | None) -> None:
        self._lock = lock

    def announce(self, announcement: Announcement) -> None:
        """Let others read along; before anything is written, so that nothing is left that no
        claim tells of."""
        if self._lock is not None:
            self._lock.write(announcement.render())

    def release(self) -> None:
        """For the next one. May be called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release(remove=True)


class Claims:
    """The claims on the blobs of one storage.

    *directory* is None where no other process can share the storage: every claim is granted then.
    *forget* removes the upload that a holder left when it died.
    """

    def __init__(self, directory: Path | None, forget: Callable[[Announcement], object]) -> None:
        self._directory = directory
        self._forget = forget
        self._is_out_of_order = False

    def take(self, digest: Digest) -> Claim | None:
        """The claim on *digest*; None while another holds it."""
        if self._directory is None:
            return Claim(None)
        return self._take(self._directory / _name(digest))

    def take_aside(self, digest: Digest) -> Claim:
        """A claim beside the one that another holds; what it announces is read by nobody."""
        aside = f"{_name(digest)}.{uuid.uuid4().hex}"
        claim = None if self._directory is None else self._take(self._directory / aside)
        return Claim(None) if claim is None else claim

    def announced(self, digest: Digest) -> Announcement | None:
        """What the holder of the claim on *digest* has told so far."""
        if self._directory is None:
            return None
        try:
            return Announcement.parse((self._directory / _name(digest)).read_bytes())
        except OSError:
            return None

    def sweep(self) -> None:
        """Remove what processes that died have left."""
        if self._directory is None:
            return
        try:
            paths = sorted(self._directory.iterdir())
        except OSError:
            return
        for path in paths:
            claim = self._take(path)
            if claim is not None:
                with contextlib.suppress(OSError):
                    claim.release()

    def _take(self, path: Path) -> Claim | None:
        try:
            lock = FileLock.take(path)
        except OSError as error:
            if not self._is_out_of_order:
                _log.warning("no locks between processes, each fetches for itself: %s", error)
            self._is_out_of_order = True
            return Claim(None)
        if lock is None:
            return None
        left = Announcement.parse(lock.read())
        if left is not None:
            _log.info("removing upload %s of %s, left by a killed process", *_where(left))
            with contextlib.suppress(OSError):  # The purge of uploads will come by.
                self._forget(left)
            lock.write(b"")
        return Claim(lock)


def _name(digest: Digest) -> str:
    return f"{algorithm_of(digest)}-{encoded_of(digest)}"


def _where(announcement: Announcement) -> tuple[str, str]:
    return announcement.upload, announcement.repository
