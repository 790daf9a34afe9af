"""Schedules written by hand into ``scheduler-state.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.content import Blob, Manifest
from harness.targets import DidNotStart, RunningRegistry, StateEntry
from tests.contract.profiles.bench import REPOSITORY

__all__ = ["OVERDUE", "Due", "hours_left", "key", "reopen"]

OVERDUE = timedelta(hours=-1)


def key(content: Blob | Manifest, repository: str = REPOSITORY) -> str:
    """How an entry is called."""
    return f"{repository}@{content.digest}"


@dataclass(frozen=True)
class Due:
    """One entry of the file: *content* of *repository* expires after *left*."""

    content: Blob | Manifest
    left: timedelta = OVERDUE
    repository: str = REPOSITORY

    @property
    def key(self) -> str:
        """The entry's key."""
        return key(self.content, self.repository)

    def document(self) -> dict[str, object]:
        """The entry as it stands in the file."""
        expiry = datetime.now(UTC) + self.left
        return {
            "Key": self.key,
            "ExpiryData": expiry.isoformat().replace("+00:00", "Z"),
            "EntryType": 1 if isinstance(self.content, Manifest) else 0,
        }


def reopen(
    cache: RunningRegistry, *entries: Due, state: str | None = None, **changes: object
) -> str | int | None:
    """Stop *cache*, give it a schedule of just these *entries*, or *state* as the file's text, and
    start it, with *changes* to its settings. ``"starts"``, or the exit code where it does not."""
    cache.stop()
    if entries:
        state = json.dumps({entry.key: entry.document() for entry in entries})
    if state is not None:
        cache.root.mkdir(exist_ok=True)
        cache.state_path.write_text(state)
    try:
        cache.restart(**changes)
    except DidNotStart as refused:
        return refused.exit_code
    return "starts"


def hours_left(state: Mapping[str, StateEntry]) -> dict[str, int]:
    """Whole hours until each entry expires, by key."""
    now = datetime.now(UTC)
    return {
        key: round((entry.expires - now).total_seconds() / 3600) for key, entry in state.items()
    }
