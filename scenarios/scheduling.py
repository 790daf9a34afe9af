"""Schedules written by hand, so that expiry needs no waiting.

The form of ``scheduler-state.json`` is distribution's (its ``registry/proxy/scheduler``); scenario
``ttl.schedule-format`` looks at it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from harness.content import Blob, Manifest
from harness.targets import RunningRegistry, StateEntry

OVERDUE = timedelta(hours=-1)
"""An expiry that passed while the cache was off."""


def key_of(repository: str, content: Blob | Manifest) -> str:
    """The key of an entry."""
    return f"{repository}@{content.digest}"


@dataclass(frozen=True)
class Due:
    """One entry: *content* of *repository* expires after *left*."""

    repository: str
    content: Blob | Manifest
    left: timedelta = OVERDUE
    kind: int | None = None
    """``EntryType``; None stands for what the content is: 0 for a blob, 1 for a manifest."""

    @property
    def key(self) -> str:
        """The entry's key."""
        return key_of(self.repository, self.content)

    def document(self) -> dict[str, Any]:
        """The entry as JSON values."""
        kind: Literal[0, 1] = 1 if isinstance(self.content, Manifest) else 0
        expiry = datetime.now(UTC) + self.left
        return {
            "Key": self.key,
            "ExpiryData": expiry.isoformat().replace("+00:00", "Z"),
            "EntryType": kind if self.kind is None else self.kind,
        }


def all_of(repository: str, manifest: Manifest, left: timedelta = OVERDUE) -> list[Due]:
    """An entry for *manifest* and one for each of its blobs."""
    return [Due(repository, manifest, left), *(Due(repository, b, left) for b in manifest.blobs)]


def reopen_with(cache: RunningRegistry, *entries: Due, **changes: Any) -> None:
    """Stop *cache*, give it a schedule of just these *entries*, and start it, with *changes* to its
    settings."""
    cache.stop()
    cache.state_path.write_text(json.dumps({entry.key: entry.document() for entry in entries}))
    cache.restart(**changes)


def hours_left(state: dict[str, StateEntry]) -> dict[str, int]:
    """Whole hours until each entry expires, by key."""
    now = datetime.now(UTC)
    return {
        key: round((entry.expires - now).total_seconds() / 3600) for key, entry in state.items()
    }
