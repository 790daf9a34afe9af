"""How many bytes lie in the blob store, and when each was last used; looked at over and over.

The store itself is counted, and not what this process put there: others may share it, and expiry,
garbage collection or an operator take from it. A directory's modification time tells whether
anything in it came or went, so that a look at a store where nothing happened costs a few hundred
``stat`` calls.

When a blob was last used is kept as the modification time of its own directory, which means nothing
to distribution: ``blobs/sha256/ab/<hex>/``, beside the ``data`` that it holds. So it survives a
restart, is shared by all processes without a lock, and goes with the blob.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reference_registry.digest import Digest, parse_digest
from reference_registry.proxy.policy.size_policy import Holding

__all__ = ["Changes", "DiskUsage"]

_RACY = 2 * 10**9
"""Nanoseconds. A directory that was changed so shortly before we looked may have been changed again
since, with the same time on it: the kernel's clock ticks slowly, some file systems' by the second.
"""


@dataclass
class Changes:
    """What differs from the time before."""

    held: list[Holding] = field(default_factory=list)
    """Stored now, and not or otherwise before."""
    gone: list[Digest] = field(default_factory=list)


class DiskUsage:
    """Of the blob store in the directory *blobs*. Everything here is I/O, for a worker thread, and
    for one at a time."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = str(blobs)
        self._unchanged: dict[str, int] = {}
        """Directories of which all is known, with their modification times."""
        self._sizes: dict[str, dict[str, int]] = {}
        """By directory and name, the sizes in bytes of what they hold."""

    def look(self) -> Changes:
        """Bring the knowledge up to date. ``OSError`` where the disk cannot be read."""
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

    def last_used(self, digests: Iterable[Digest]) -> dict[Digest, float]:
        """When they were last used by any process, in seconds since 1970, of those that are
        stored."""
        found = {}
        for digest in digests:
            try:
                found[digest] = os.stat(self._directory_of(digest)).st_mtime
            except FileNotFoundError:
                continue
        return found

    def note_use(self, moments: Mapping[Digest, float]) -> None:
        """Keep when they were last used. ``OSError`` where the file system does not let us."""
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
        """What is known already is not measured again: the bytes of a digest do not change."""
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
                is_whole = False  # Just being made, or what a killed process left.
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
