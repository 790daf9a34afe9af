"""What one process has changed in a schedule that several write. No I/O.

Each keeps what it has added and removed since it last wrote ``scheduler-state.json``, and puts that
on top of what the file holds by then, so that nobody undoes what another has done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reference_registry.proxy.expiry.schedule import Entry

__all__ = ["Journal"]


@dataclass(frozen=True)
class _Change:
    """``entry`` (None: nothing) in the place of what this process knew there."""

    entry: Entry | None
    known: frozenset[Entry | None]

    def after(self, earlier: _Change) -> _Change:
        return _Change(self.entry, self.known | earlier.known | {earlier.entry})

    def result(self, found: Entry | None) -> Entry | None:
        """What stands there after the change. Something that this process did not know of was
        cached by another: it is not removed, and the one that lives longer stays."""
        if found is None or found in self.known:
            return self.entry
        if self.entry is None or found.moment >= self.entry.moment:
            return found
        return self.entry


class Journal:
    """Changes by key, in no order."""

    def __init__(self) -> None:
        self._changes: dict[str, _Change] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def record(self, key: str, before: Entry | None, after: Entry | None) -> None:
        """What *key* stood for *before*, and stands for *after*; None for nothing."""
        self._put(key, _Change(after, frozenset({before})))

    def append(self, later: Journal) -> None:
        """Let the changes of *later* follow."""
        for key, change in later._changes.items():
            self._put(key, change)

    def applied_to(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """*entries*, whoever wrote them, with the changes."""
        result = dict(entries)
        for key, change in self._changes.items():
            entry = change.result(result.pop(key, None))
            if entry is not None:
                result[key] = entry
        return result

    def _put(self, key: str, change: _Change) -> None:
        earlier = self._changes.get(key)
        self._changes[key] = change if earlier is None else change.after(earlier)
