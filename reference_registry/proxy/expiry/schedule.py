"""The schedule: what expires when, and its form in ``scheduler-state.json``. No I/O.

The file is the one that distribution's ``registry/proxy/scheduler`` reads and writes: one JSON
object, keys sorted, no newline at the end::

    {"app@sha256:<hex>":{"Key":<the same>,"ExpiryData":"2026-11-24T03:50:00.123Z","EntryType":0}}

Blobs and manifests share keys: a digest that is pulled as both has one entry, the later one.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reference_registry.digest import Digest, parse_digest
from reference_registry.names import is_repository_name

STATE_FILE = "/scheduler-state.json"
"""Storage path; beside ``/docker``."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, order=True)
class GoTime:
    """A time as Go writes it into JSON: RFC 3339 with up to nine digits of a second. ``datetime``
    has microseconds only and would change what another registry wrote.

    ``nanoseconds`` since 1970 in UTC; ``offset`` is the time zone of its text, in seconds east of
    Greenwich."""

    nanoseconds: int
    offset: int = 0

    @classmethod
    def of(cls, moment: datetime) -> GoTime:
        """The time of *moment*, which has a time zone."""
        since = moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH
        return cls(since // timedelta(microseconds=1) * 1000)

    @classmethod
    def parse(cls, text: str) -> GoTime:
        """``ValueError`` where *text* is not RFC 3339."""
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(f"not RFC 3339: {text!r}")
        *fields, fraction, sign, hours, minutes = match.groups()
        local = datetime(*map(int, fields))  # type: ignore[arg-type]
        offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * 60
        offset = -offset if sign == "-" else offset
        seconds = (local - _EPOCH) // timedelta(seconds=1) - offset
        return cls(seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0")), offset)

    def __str__(self) -> str:
        seconds, fraction = divmod(self.nanoseconds, _SECOND)
        text = (_EPOCH + timedelta(seconds=seconds + self.offset)).isoformat()
        if fraction:
            text += f".{fraction:09d}".rstrip("0")
        if not self.offset:
            return text + "Z"
        hours, minutes = divmod(abs(self.offset) // 60, 60)
        return f"{text}{'-' if self.offset < 0 else '+'}{hours:02d}:{minutes:02d}"

    def as_datetime(self) -> datetime:
        """The first microsecond that is not earlier, in UTC; the last one of ``datetime`` for later
        times."""
        since = timedelta(microseconds=-(-self.nanoseconds // 1000))
        try:
            return (_EPOCH + since).replace(tzinfo=UTC)
        except OverflowError:
            limit = datetime.max if self.nanoseconds > 0 else datetime.min
            return limit.replace(tzinfo=UTC)


ZERO = GoTime.parse("0001-01-01T00:00:00Z")
"""Go's zero time, the meaning of a missing ``ExpiryData``: long past."""

BLOB = 0
MANIFEST = 1


@dataclass(frozen=True)
class ScheduleEntry:
    """Content that expires at ``moment``."""

    key: str
    """``repository@digest``. A file from elsewhere may have any text here."""
    moment: GoTime
    kind: int
    """:data:`BLOB` or :data:`MANIFEST`. A file from elsewhere may have any number."""

    @classmethod
    def of(cls, repository: str, digest: Digest, kind: int, moment: GoTime) -> ScheduleEntry:
        """The entry for content of *repository*."""
        return cls(f"{repository}@{digest}", moment, kind)

    def target(self) -> tuple[str, Digest] | None:
        """Repository and digest, or None if the key does not have both."""
        repository, _, rest = self.key.partition("@")
        digest = parse_digest(rest)
        if digest is None or not is_repository_name(repository):
            return None
        return repository, digest


class Schedule:
    """All entries, by their key in the file.

    In a file from elsewhere that key may differ from :attr:`ScheduleEntry.key`. Distribution
    removes by the latter, so that such an entry is never removed; it is due once per start.
    """

    def __init__(self, entries: Mapping[str, ScheduleEntry] | None = None) -> None:
        self._entries: dict[str, ScheduleEntry] = {}
        self._queue: list[tuple[int, str]] = []
        self._keys_of: dict[str, set[str]] = {}
        for key, entry in (entries or {}).items():
            self._insert(key, entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ScheduleEntry]:
        return iter(self._entries.values())

    def snapshot(self) -> dict[str, ScheduleEntry]:
        """The entries as they are now, for :func:`render_state`."""
        return dict(self._entries)

    def get(self, key: str) -> ScheduleEntry | None:
        """The entry that *key* has in the file."""
        return self._entries.get(key)

    def add(self, entry: ScheduleEntry) -> None:
        """Schedule *entry*; it replaces what had its key."""
        self._delete(entry.key)
        self._insert(entry.key, entry)

    def remove(self, entry: ScheduleEntry) -> None:
        """Remove *entry*, unless its key has been rescheduled meanwhile."""
        if self._entries.get(entry.key) == entry:
            self._delete(entry.key)

    def due(self, now: GoTime) -> list[ScheduleEntry]:
        """The entries that have expired, earliest first. Each is returned once, and stays in the
        schedule until it is removed."""
        due = []
        while (head := self._head()) is not None and head[0] <= now.nanoseconds:
            heapq.heappop(self._queue)
            due.append(self._entries[head[1]])
        return due

    def next_moment(self) -> GoTime | None:
        """When the next entry expires; None if none will."""
        head = self._head()
        return None if head is None else self._entries[head[1]].moment

    def of_digest(self, digest: Digest) -> list[ScheduleEntry]:
        """The entries of all repositories for *digest*."""
        return [self._entries[key] for key in self._keys_of.get(digest, ())]

    def holds(self, digest: Digest, *, besides: ScheduleEntry) -> bool:
        """Whether an entry other than *besides* is for *digest*."""
        return bool(self._keys_of.get(digest, set()) - {besides.key})

    def tidied(self) -> tuple[Schedule, list[str]]:
        """The valid entries, each under its own key, and what is wrong with the others, one line
        each."""
        tidy = Schedule()
        problems = []
        for key, entry in self._entries.items():
            if entry.target() is None:
                problems.append(f"{key!r}: the key {entry.key!r} is not REPOSITORY@DIGEST")
            elif entry.kind not in {BLOB, MANIFEST}:
                problems.append(f"{key!r}: the entry type {entry.kind} is unknown")
            else:
                tidy.add(entry)
        return tidy, problems

    def _head(self) -> tuple[int, str] | None:
        """The first of the queue, after removed and replaced entries are cleared away."""
        while self._queue:
            moment, key = self._queue[0]
            entry = self._entries.get(key)
            if entry is not None and entry.moment.nanoseconds == moment:
                return self._queue[0]
            heapq.heappop(self._queue)
        return None

    def _insert(self, key: str, entry: ScheduleEntry) -> None:
        self._entries[key] = entry
        self._keys_of.setdefault(_digest_part(key), set()).add(key)
        heapq.heappush(self._queue, (entry.moment.nanoseconds, key))

    def _delete(self, key: str) -> None:
        if self._entries.pop(key, None) is not None:
            keys = self._keys_of[_digest_part(key)]
            keys.discard(key)
            if not keys:
                del self._keys_of[_digest_part(key)]


def _digest_part(key: str) -> str:
    return key.rpartition("@")[2]


def render_state(entries: Mapping[str, ScheduleEntry]) -> bytes:
    """The content of ``scheduler-state.json``."""
    document = {
        key: {"Key": entry.key, "ExpiryData": str(entry.moment), "EntryType": entry.kind}
        for key, entry in sorted(entries.items())
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # As Go's encoder does, for HTML's sake.
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace")


class StateUnreadable(ValueError):
    """The state file is damaged."""


def parse_state(content: bytes) -> Schedule | None:
    """The schedule in *content*, read as Go's ``encoding/json`` reads it; None for ``null``.

    Names of fields may have any case, missing ones are zero, unknown ones are ignored. Raises
    :class:`StateUnreadable`.
    """
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise StateUnreadable("not JSON") from None
    if document is None:
        return None
    if not isinstance(document, dict):
        raise StateUnreadable("not a JSON object")
    return Schedule({key: _parse_entry(key, value) for key, value in document.items()})


def _parse_entry(name: str, value: Any) -> ScheduleEntry:
    if not isinstance(value, dict):
        raise StateUnreadable(f"{name!r}: not a JSON object")
    fields = {field.lower(): each for field, each in value.items() if each is not None}
    key, kind = fields.get("key", ""), fields.get("entrytype", 0)
    if not isinstance(key, str) or not isinstance(kind, int) or isinstance(kind, bool):
        raise StateUnreadable(f"{name!r}: Key is not a string, or EntryType is not an integer")
    moment = fields.get("expirydata")
    try:
        return ScheduleEntry(key, ZERO if moment is None else GoTime.parse(str(moment)), kind)
    except ValueError as error:
        raise StateUnreadable(f"{name!r}: ExpiryData: {error}") from None
