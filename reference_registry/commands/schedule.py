"""``schedule CONFIG``: what a cache holds until when, as its state file has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reference_registry.commands import PROGRAM
from reference_registry.config import Config
from reference_registry.config.file import load
from reference_registry.config.proxy import upstreams_of
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.schedule import (
    BLOB,
    MANIFEST,
    Entry,
    StateUnreadable,
    parse_state,
)
from reference_registry.proxy.expiry.state_file import STATE_FILE

__all__ = ["Row", "rows", "schedule", "table"]

_KINDS = {BLOB: "blob", MANIFEST: "manifest"}


@dataclass(frozen=True)
class Row:
    """An entry, seen at some moment; ``left`` is negative once it is overdue."""

    entry: Entry
    left: timedelta

    @property
    def overdue(self) -> bool:
        return self.left <= timedelta(0)

    @property
    def kind(self) -> str:
        return _KINDS.get(self.entry.kind, f"type {self.entry.kind}")

    def document(self) -> dict[str, object]:
        """For ``--json``."""
        target = self.entry.target()
        return {
            "key": self.entry.key,
            "repository": None if target is None else target[0],
            "digest": None if target is None else target[1],
            "kind": self.kind,
            "expires": str(self.entry.moment),
            "seconds_left": round(self.left.total_seconds(), 3),
            "overdue": self.overdue,
        }


def schedule(path: str, profile: Profile, *, as_json: bool) -> int:
    """Print what expires when in the cache that the file at *path* describes, soonest first.

    1 where the state file cannot be read.
    """
    config = load(path, profile=profile)
    state = config.storage.rootdirectory / STATE_FILE[1:]
    entries: list[Entry] = []
    said = _why_nothing(config)
    if said is None:
        try:
            entries = _entries(state)
        except (OSError, StateUnreadable) as error:
            what = error.strerror if isinstance(error, OSError) else f"damaged: {error}"
            print(f"{PROGRAM}: {state}: {what}", file=sys.stderr)
            return 1
        if not entries:
            what = "nothing is scheduled" if state.exists() else "not there, nothing is scheduled"
            said = f"{state}: {what}"
    found = list(rows(entries, datetime.now(UTC)))
    if as_json:
        print(json.dumps([row.document() for row in found], indent=2))
    for line in table(found) if found and not as_json else ():
        print(line)
    if said is not None:
        print(said, file=sys.stderr if as_json else sys.stdout)
    return 0


def rows(entries: Iterable[Entry], now: datetime) -> Iterator[Row]:
    """*entries* as they look at *now*, soonest first."""
    for entry in sorted(entries, key=lambda entry: (entry.moment.nanoseconds, entry.key)):
        yield Row(entry, entry.moment.as_datetime() - now)


def table(found: Iterable[Row]) -> Iterator[str]:
    """*found* as lines with a heading, moments in local time."""
    yield f"{'EXPIRES':<25}  {'IN':>8}  {'KIND':<8}  CONTENT"
    for row in found:
        left = "overdue" if row.overdue else _spoken(row.left)
        key = row.entry.key if row.entry.key.isprintable() else ascii(row.entry.key)
        yield f"{_local(row.entry):<25}  {left:>8}  {row.kind:<8}  {key}"


def _why_nothing(config: Config) -> str | None:
    """Why there cannot be a schedule, if so."""
    if config.proxy is None:
        return "not a cache, nothing expires"
    if all(upstream.ttl is None for _, _, upstream in upstreams_of(config.proxy)):
        return "proxy.ttl is 0, nothing expires"
    if config.storage.driver == "inmemory":
        return "in memory, the schedule is known to the running registry alone"
    return None


def _entries(state: Path) -> list[Entry]:
    try:
        content = state.read_bytes()
    except FileNotFoundError:
        return []
    found = parse_state(content)
    if found is None:
        raise StateUnreadable("null")
    return list(found)


def _local(entry: Entry) -> str:
    """Down to the second; as written where the calendar does not reach."""
    try:
        return entry.moment.as_datetime().astimezone().isoformat(" ", "seconds")
    except (OverflowError, OSError):
        return str(entry.moment)


def _spoken(left: timedelta) -> str:
    """The two largest units of *left*: ``6d 23h``, ``1h 5m``, ``42s``."""
    seconds = int(left.total_seconds())
    sizes = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    parts = []
    for unit, size in sizes:
        number, seconds = divmod(seconds, size)
        parts.append((number, unit))
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number}{unit}" for number, unit in parts[:2])
