"""``scheduler-state.json``: what a cache will evict, and when.

One JSON object; an entry is keyed ``repository@digest`` and holds ``Key``, ``ExpiryData`` (RFC 3339
in UTC) and ``EntryType`` (0 blob, 1 manifest), as distribution's ``proxy/scheduler`` writes it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

__all__ = ["FILE_NAME", "SAVE_INTERVAL", "StateEntry", "read_state", "shift_expiry"]

FILE_NAME = "scheduler-state.json"
"""In the storage root, beside ``docker/``."""
SAVE_INTERVAL = timedelta(seconds=5)
"""How often distribution writes the file, if something has changed."""

_TIMEOUT = 5.0
"""Seconds for which a file that cannot be parsed is read again."""
_KINDS = {0: "blob", 1: "manifest"}
_NEVER_SET = datetime(1, 1, 1, tzinfo=UTC)
"""Go's zero time, which an absent ``ExpiryData`` is read as."""


@dataclass(frozen=True)
class StateEntry:
    """One entry as the file has it; ``key`` is its ``Key`` field, not the object's member name."""

    key: str
    repository: str
    digest: str
    kind: str
    """``blob``, ``manifest``, or the number in the file."""
    expires: datetime


def read_state(path: Path) -> dict[str, StateEntry] | None:
    """The entries by member name; None if there is no file. ``ValueError`` if the file stays
    unreadable: a running registry rewrites it in place, so a reader may see half of it.
    """
    deadline = monotonic() + _TIMEOUT
    while True:
        try:
            return _parse(path.read_text())
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as problem:
            if monotonic() >= deadline:
                raise ValueError(f"{path.name} is damaged: {problem}") from problem
        sleep(0.01)


def _parse(content: str) -> dict[str, StateEntry]:
    document = json.loads(content)
    return {} if document is None else {name: _entry(e) for name, e in document.items()}


def _entry(value: dict[str, Any]) -> StateEntry:
    key = str(value.get("Key", ""))
    repository, _, digest = key.rpartition("@")
    kind = value.get("EntryType", 0)
    expires = value.get("ExpiryData")
    return StateEntry(
        key=key,
        repository=repository,
        digest=digest,
        kind=_KINDS.get(kind, str(kind)),
        expires=_NEVER_SET if expires is None else datetime.fromisoformat(expires),
    )


def shift_expiry(content: str, by: timedelta) -> str:
    """The file's *content* with every ``ExpiryData`` moved *by* (negative: into the past). Values
    that are not dates stay."""
    document = json.loads(content)
    for entry in (document or {}).values():
        with suppress(ValueError, OverflowError, KeyError, TypeError):
            moved = datetime.fromisoformat(entry["ExpiryData"]) + by
            entry["ExpiryData"] = _rfc3339(moved)
    return json.dumps(document, separators=(",", ":"))


def _rfc3339(moment: datetime) -> str:
    """As Go's ``time.RFC3339Nano`` writes UTC: no trailing zeros in the fraction."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
