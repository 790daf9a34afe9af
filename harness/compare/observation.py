"""Everything that a target showed in one scenario, as plain data.

An :class:`Observation` is taken after all servers of the scenario have stopped. Recordings keep
observations and the differential compares them. Texts are normalised first
(:mod:`~harness.compare.normalisation`), so that two runs on one target give equal observations.

An observation has four sides:

- ``steps``: each request of a client with its answer. Concurrent requests have no order and are
  sorted. Of requests that poll for a condition, only the last one counts.
- ``upstream``: each request that reached an upstream, and how many times.
- ``disk``: each file in the storage, with the first digits of its hash.
- ``state``: each entry of ``scheduler-state.json`` with its kind and the hours until it expires.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.compare.normalisation import Names, file_content, file_is_compared, header_is_compared
from harness.http.client import CLIENT_LEFT, Exchange
from harness.system.disk import Disk
from harness.targets.readings import FILE_NAME, StateEntry
from harness.upstream.ledger import Entry

__all__ = [
    "NOT_SAVED",
    "Observation",
    "Step",
    "observed_disk",
    "observed_state",
    "observed_steps",
    "observed_upstream",
]

NOT_SAVED = "not saved yet"
"""In place of the entries of a state file that is not up to date."""

_BODY = 600
"""Characters of a text that are compared; of longer or binary bodies, size and hash are."""
_HEADERS = 40
"""Header lines of one message that are compared one by one."""


@dataclass(frozen=True)
class Step:
    """One request of a client with its answer, normalised."""

    request: str
    """Such as ``GET /v2/team/app/manifests/v1``."""
    sent: Mapping[str, str]
    """The request's header lines."""
    status: int | None
    """None where no answer came."""
    headers: Mapping[str, str]
    """The answer's header lines, names in lower case; several of one name joined by commas."""
    body: str
    """The text, or ``<SIZE bytes, sha256 HASH>``."""
    error: str | None = None
    """What broke, if anything did."""
    whole: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Texts that are longer than what is compared, by the same names as :meth:`fields`; not in
    recordings."""

    def fields(self) -> dict[str, Any]:
        """What is compared, by the names that ``divergences.toml`` uses."""
        found: dict[str, Any] = {"status": self.status, "body": self.body, "error": self.error}
        found |= {f"header {name}": value for name, value in self.headers.items()}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Observation:
    """One scenario on one target."""

    steps: tuple[Step, ...] = ()
    upstream: Mapping[str, int] = field(default_factory=dict)
    disk: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def join(cls, parts: Iterable[Observation]) -> Observation:
        """The observations of several registries of one scenario as one."""
        found = list(parts)
        return cls(
            steps=tuple(step for part in found for step in part.steps),
            upstream=_added(part.upstream for part in found),
            disk={path: content for part in found for path, content in part.disk.items()},
            state={key: entry for part in found for key, entry in part.state.items()},
        )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


# -- clients -------------------------------------------------------------------------------------


def observed_steps(
    exchanges: Sequence[Exchange], names: Names, polled: frozenset[int] = frozenset()
) -> tuple[Step, ...]:
    """*exchanges* in the order in which they began, without those whose ``order`` is *polled*;
    those that overlap are sorted by content."""
    steps: list[Step] = []
    group: list[Step] = []
    end = 0
    for exchange in sorted(exchanges, key=lambda one: one.order):
        if exchange.order in polled:
            continue
        if exchange.order > end:
            steps += _sorted(group)
            group = []
        end = max(end, exchange.ended)
        group.append(_step(exchange, names))
    return tuple(steps + _sorted(group))


def _sorted(group: list[Step]) -> list[Step]:
    return sorted(group, key=lambda step: json.dumps(asdict(step), sort_keys=True))


def _step(exchange: Exchange, names: Names) -> Step:
    body = _body(exchange, names)
    return Step(
        request=names.text(f"{exchange.method} {exchange.path}"),
        sent=_lines(exchange.request_headers, names),
        status=exchange.status,
        headers=_lines(exchange.response_headers, names),
        body=_bounded(body),
        error=_error(exchange, names),
        whole={"body": body} if len(body) > _BODY else {},
    )


def _lines(headers: Iterable[tuple[str, str]], names: Names) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for name, value in headers:
        if header_is_compared(name):
            lines.setdefault(name.lower(), []).append(names.header(name, value))
    found = {name: _bounded(", ".join(values)) for name, values in sorted(lines.items())}
    if len(found) <= _HEADERS:
        return found
    kept = dict(list(found.items())[:_HEADERS])
    return {**kept, "...": f"<{len(found)} header lines, sha256 {_short(repr(found).encode())}>"}


def _bounded(text: str) -> str:
    if len(text) <= _BODY:
        return text
    return f"<{len(text)} characters, sha256 {_short(text.encode())}>"


def _error(exchange: Exchange, names: Names) -> str | None:
    if exchange.error is not None and exchange.error.startswith(CLIENT_LEFT):
        return CLIENT_LEFT  # How many bytes were in the pipe by then is random.
    return None if exchange.error is None else names.text(exchange.error)


def _body(exchange: Exchange, names: Names) -> str:
    if exchange.error is not None and exchange.error.startswith(CLIENT_LEFT):
        return "<as far as the client read>"
    size, start = exchange.body_size, exchange.body_start
    if size == len(start):
        with suppress(UnicodeDecodeError):
            return names.body(start.decode())
    return f"<{size} bytes, sha256 {exchange.body_sha256[:12]}>"


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


# -- upstream ------------------------------------------------------------------------------------


def observed_upstream(entries: Iterable[Entry], number: int, names: Names) -> dict[str, int]:
    """How often each request reached upstream *number* (counted from 1), by request line, kind of
    credential, Range and status."""
    asked: Counter[str] = Counter()
    for entry in entries:
        credential = "" if entry.credential == "none" else f" [{entry.credential}]"
        wanted = entry.header("range")
        part = f" [{wanted}]" if wanted else ""
        place = "" if number == 1 else f" at upstream {number}"
        asked[f"{names.text(entry.line)}{credential}{part}{place} -> {entry.status}"] += 1
    return dict(sorted(asked.items()))


# -- storage -------------------------------------------------------------------------------------


def observed_disk(disk: Disk, names: Names, place: str = "") -> dict[str, str]:
    """The files of *disk* by normalised path, with *place* in front. Files that get one path by
    normalisation, such as those of two upload sessions, are one entry with both contents."""
    found: dict[str, list[str]] = {}
    for path, content in disk.snapshot().items():
        if path != FILE_NAME and file_is_compared(path):
            found.setdefault(place + names.text(path), []).append(file_content(path, content))
    return {path: ", ".join(sorted(contents)) for path, contents in sorted(found.items())}


def observed_state(
    read: Callable[[], Mapping[str, StateEntry] | None],
    disk: Disk,
    now: datetime,
    place: str = "",
) -> dict[str, str]:
    """The entries of a cache's state file, which *read* returns, relative to *now*. A file older
    than the newest link on *disk* is not up to date: releases save every five seconds, so whether
    they do within a scenario is random."""
    try:
        entries = read() or {}
        saved = (disk.root / FILE_NAME).stat().st_mtime
    except ValueError:
        return {place + FILE_NAME: "damaged"}
    except FileNotFoundError:
        entries, saved = {}, 0.0
    if saved < max(disk.links().values(), default=0.0):
        return {place + FILE_NAME: NOT_SAVED}
    return {place + key: _entry(entry, now) for key, entry in sorted(entries.items())}


def _entry(entry: StateEntry, now: datetime) -> str:
    # Whole hours: two runs of one scenario differ by seconds.
    hours = round((entry.expires - now.astimezone(UTC)).total_seconds() / 3600)
    return f"{entry.kind}, expires in {hours} h" if hours > -24 * 365 else f"{entry.kind}, expired"
