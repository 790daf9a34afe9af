"""How many bytes are in the blob store, and when each blob was last used.

The store itself is counted, not what this process put there: expiry, garbage collection and
operators remove blobs too.

The time of last use of a blob is the modification time of its directory,
``blobs/sha256/ab/<hex>/``, beside its ``data``. Distribution ignores it. So it survives a restart,
and goes with the blob.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reference_registry.digest import Digest, parse_digest

__all__ = ["Holding", "held_in", "note_use"]


@dataclass(frozen=True, slots=True)
class Holding:
    """A stored layer, config or manifest. ``used`` is when it was last served or else stored, in
    seconds since 1970; ``size`` is in bytes."""

    digest: Digest
    size: int
    used: float


def held_in(blobs: Path) -> list[Holding]:
    """Everything in the blob store *blobs*. Call this in a worker thread: it costs two ``stat`` per
    blob. Raises ``OSError`` if the disk cannot be read."""
    found = []
    for algorithm in _directories(str(blobs)):
        for shard in _directories(algorithm):
            for blob in _directories(shard):
                digest = parse_digest(f"{os.path.basename(algorithm)}:{os.path.basename(blob)}")
                if digest is None:
                    continue
                try:
                    size, used = os.stat(f"{blob}/data").st_size, os.stat(blob).st_mtime
                except (FileNotFoundError, NotADirectoryError):
                    continue  # Being created, removed meanwhile, or left by a killed process.
                found.append(Holding(digest, size, used))
    return found


def note_use(blobs: Path, moments: Mapping[Digest, float]) -> None:
    """Save times of last use. Raises ``OSError`` if the file system refuses."""
    for digest, moment in moments.items():
        algorithm, _, encoded = digest.partition(":")
        directory = blobs / algorithm / encoded[:2] / encoded
        try:
            if os.stat(directory).st_mtime < moment:
                os.utime(directory, (moment, moment))
        except FileNotFoundError:  # Deleted meanwhile.
            continue


def _directories(path: str) -> Iterator[str]:
    try:
        with os.scandir(path) as entries:
            yield from [entry.path for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return
