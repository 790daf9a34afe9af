"""How many bytes are in the blob store, and when each blob was last used.

The store itself is counted, not what this process put there: expiry, garbage collection and
operators remove blobs too. A directory's modification time says whether anything in it was added or
removed, so that a look at a store without changes costs a few hundred ``stat`` calls.

The time of last use of a blob is the modification time of its directory,
``blobs/sha256/ab/<hex>/``, beside its ``data``. Distribution ignores it. So it survives a restart,
and goes with the blob.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reference_registry.digest import Digest, parse_digest

__all__ = ["Changes", "DiskUsage", "Holding"]

_RACY = 2 * 10**9
"""Nanoseconds. A directory that changed so recently may change again and keep the same time: the
kernel's clock ticks slowly, and some file systems count in seconds."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A stored layer, config or manifest. ``used`` is when it was last served or else stored, in
    seconds since 1970; ``size`` is in bytes."""

    digest: Digest
    size: int
    used: float


@dataclass
class Changes:
    """What has changed since the last look."""

    held: list[Holding] = field(default_factory=list)
    """New, or of another size."""
    gone: list[Digest] = field(default_factory=list)


class DiskUsage:
    """Looks at the blob store in the directory *blobs*. All methods do I/O: call them in a worker
    thread, one at a time."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = str(blobs)
        self._unchanged: dict[str, int] = {}
        """Modification times of directories that have not changed since they were read."""
        self._sizes: dict[str, dict[str, int]] = {}
        """Sizes in bytes by directory and name."""

    def look(self) -> Changes:
        """What has changed. Raises ``OSError`` if the disk cannot be read."""
        changes = Changes()
        found = {
            directory: stat.st_mtime_ns
            for algorithm in _directories(self._blobs)
            for directory, stat in _with_stats(algorithm)
        }
        for directory in self._sizes.keys() - found.keys():
            self._take_over(directory, {}, changes)
        for directory, changed in found.items():
            if self._unchanged.get(directory) != changed:
                self._look_into(directory, changed, changes)
        return changes

    def note_use(self, moments: Mapping[Digest, float]) -> None:
        """Save times of last use. Raises ``OSError`` if the file system refuses."""
        for digest, moment in moments.items():
            directory = self._directory_of(digest)
            try:
                if os.stat(directory).st_mtime < moment:
                    os.utime(directory, (moment, moment))
            except FileNotFoundError:  # Deleted meanwhile.
                continue

    def _directory_of(self, digest: Digest) -> str:
        algorithm, _, encoded = digest.partition(":")
        return f"{self._blobs}/{algorithm}/{encoded[:2]}/{encoded}"

    def _look_into(self, directory: str, changed: int, changes: Changes) -> None:
        """Read *directory*. Known names are not measured again: a digest's bytes do not change."""
        looked = time.time_ns()
        before = self._sizes.get(directory, {})
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        is_whole = True
        for blob in _directories(directory):
            name = os.path.basename(blob)
            if name in before:
                sizes[name] = before[name]
                continue
            try:
                sizes[name] = os.stat(f"{blob}/data").st_size
                used[name] = os.stat(blob).st_mtime
            except (FileNotFoundError, NotADirectoryError):
                sizes.pop(name, None)
                is_whole = False  # Being created, or left by a killed process.
        self._take_over(directory, sizes, changes, used)
        self._unchanged.pop(directory, None)
        if is_whole and abs(looked - changed) > _RACY:
            self._unchanged[directory] = changed

    def _take_over(
        self,
        directory: str,
        sizes: dict[str, int],
        changes: Changes,
        used: Mapping[str, float] | None = None,
    ) -> None:
        before = self._sizes.pop(directory, {})
        algorithm = os.path.basename(os.path.dirname(directory))
        for name in before.keys() - sizes.keys():
            if digest := parse_digest(f"{algorithm}:{name}"):
                changes.gone.append(digest)
        for name, size in sizes.items():
            digest = parse_digest(f"{algorithm}:{name}")
            if digest is not None and before.get(name) != size:
                changes.held.append(Holding(digest, size, (used or {}).get(name, 0.0)))
        if sizes:
            self._sizes[directory] = sizes
        else:
            self._unchanged.pop(directory, None)


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _with_stats(path: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for directory in _directories(path):
        try:
            found.append((directory, os.stat(directory)))
        except FileNotFoundError:
            continue
    return found
