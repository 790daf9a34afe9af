"""The exchanges of one scenario run, in order, for reports: requests, answers, changes on disk.

An :class:`~harness.compare.observation.Observation` is normalised and compared between runs; a
:class:`Trace` shows one run as it was, with order, header lines, bodies and times. Both come from
the same records, in which credentials are already replaced. Sizes are bounded, because a scenario
may send thousands of requests and answers may be large. Traces are kept only for reports.
"""

from __future__ import annotations

import os
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from harness.compare.observation import Observation
from harness.http.client import Exchange
from harness.http.conversation import next_order
from harness.upstream.ledger import LedgerEntry

MOST_EVENTS = 120
"""Of more, the first two thirds and the last third are kept."""
MOST_TEXT = 1200
"""Characters of a body, a path or a header value."""
MOST_HEADERS = 40
MOST_FILES = 12
"""Paths that one change of the disk names; of the others only the number is kept."""
_MOST_LOOKS = 400

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Event:
    """One request with its answer, or one change of a storage."""

    SPARSE: ClassVar = True

    kind: Literal["client", "upstream", "disk"]
    """``client``: a client asks the registry; ``upstream``: the registry asks an upstream."""
    order: int
    """Its place among all events; of a client's request, that of the question."""
    ended: int
    """The place of the answer; as ``order`` where that is not known."""
    place: int = 1
    """Which registry or upstream of the scenario, counted from 1."""
    line: str = ""
    """``GET /v2/team/app/manifests/v1``; empty for the disk."""
    status: int | None = None
    """None where no answer came, and for the disk."""
    sent: Lines = ()
    """The request's header lines."""
    headers: Lines = ()
    """The answer's; not known of upstreams."""
    size: int = 0
    """Bytes of the answer's body."""
    body: str = ""
    """The beginning of the answer's body, where that is text."""
    seconds: float | None = None
    note: str = ""
    """What is remarkable: an error, a fault, a credential."""
    files: tuple[str, ...] = ()
    """``+ path``, ``- path`` or ``~ path`` (changed), relative to the storage root."""
    more_files: int = 0
    """How many further files changed."""
    times: int = 1
    """How often it happened, where the order of the repetitions is not known."""


@dataclass(frozen=True)
class Trace:
    """All events of one scenario on one target, sorted and numbered from 1."""

    events: tuple[Event, ...] = ()
    ordered: bool = True
    """Whether the order of clients' requests and upstream's is known."""
    omitted: int = 0
    """Events that were left out for their number."""
    polls: int = 0
    """Requests of a client that asked again and again until a condition was met, left out."""

    @classmethod
    def of(cls, events: Iterable[Event], polls: int = 0) -> Trace:
        """*events* in order, with small numbers."""
        found = sorted(events, key=lambda event: event.order)
        ranks = {
            order: rank
            for rank, order in enumerate(sorted({o for e in found for o in (e.order, e.ended)}), 1)
        }
        kept = [replace(e, order=ranks[e.order], ended=ranks[e.ended]) for e in found]
        omitted = max(0, len(kept) - MOST_EVENTS)
        if omitted:
            head = MOST_EVENTS * 2 // 3
            kept = kept[:head] + kept[head + omitted :]
        return cls(tuple(kept), omitted=omitted, polls=polls)

    @classmethod
    def of_observation(cls, seen: Observation) -> Trace:
        """The trace of a recording: clients' requests in order, then requests to upstream and
        files, whose order a recording does not hold."""
        events = [
            Event(
                "client",
                number,
                number,
                line=_short(step.request),
                status=step.status,
                sent=_lines(step.sent.items()),
                headers=_lines(step.headers.items()),
                body=_short(step.body),
                note=step.error or "",
            )
            for number, step in enumerate(seen.steps, 1)
        ]
        for after, (line, times) in enumerate(seen.upstream.items(), len(events) + 1):
            asked, _, status = line.rpartition(" -> ")
            code = int(status) if status.isdecimal() else None
            events.append(
                Event("upstream", after, after, line=_short(asked), status=code, times=times)
            )
        if seen.disk:
            events.append(_change(len(events) + 1, [f"+ {path}" for path in seen.disk]))
        return replace(cls.of(events), ordered=False)


Say = Callable[[str], str]
"""Makes a text of the run presentable, for instance without paths of the machine."""


def client_event(exchange: Exchange, registry: int, say: Say) -> Event:
    """A client's *exchange* with registry number *registry*."""
    return Event(
        "client",
        exchange.order,
        exchange.ended,
        registry,
        _short(say(f"{exchange.method} {exchange.path}")),
        exchange.status,
        _lines(exchange.request_headers, say),
        _lines(exchange.response_headers, say),
        exchange.body_size,
        _text(exchange.body_start, say),
        round(exchange.seconds, 4),
        say(exchange.error or ""),
    )


def upstream_event(entry: LedgerEntry, upstream: int, say: Say) -> Event:
    """A request that reached upstream number *upstream*."""
    return Event(
        "upstream",
        entry.order,
        entry.order,
        upstream,
        _short(say(entry.line)),
        entry.status,
        _lines(entry.headers, say),
        size=entry.sent_bytes,
        note="; ".join(entry.notes()),
    )


def _text(body: bytes, say: Say) -> str:
    try:
        # The beginning of a body may end within a character.
        return _short(say(getincrementaldecoder("utf-8")().decode(body)))
    except UnicodeDecodeError:
        return ""


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " …"


def _lines(headers: Iterable[tuple[str, str]], say: Say = str) -> Lines:
    return tuple((_short(name), _short(say(value))) for name, value in headers)[:MOST_HEADERS]


# -- the disk ------------------------------------------------------------------------------------


@dataclass
class DiskWatch:
    """Scans the storage under *root* at each :meth:`look`, and notes what changed.

    Thread-safe. A scan walks the tree; after some hundred scans there are no more.
    """

    root: Path
    place: int
    changes: list[Event] = field(default_factory=list)
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    _looks: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, *, last: bool = False) -> None:
        """Note the changes since the previous scan; the *last* scan is never skipped."""
        with self._lock:
            self._looks += 1
            if self._looks > _MOST_LOOKS and not last:
                return
            found = _sizes(self.root)
            changed = [
                *(f"+ {path}" for path in found.keys() - self._seen.keys()),
                *(f"- {path}" for path in self._seen.keys() - found.keys()),
                *(f"~ {p}" for p in found.keys() & self._seen.keys() if found[p] != self._seen[p]),
            ]
            self._seen = found
            if changed:
                self.changes.append(_change(next_order(), changed, self.place))


def _change(order: int, files: Sequence[str], place: int = 1) -> Event:
    kept = sorted(files, key=lambda line: line[2:])
    return Event(
        "disk",
        order,
        order,
        place,
        files=tuple(_short(path) for path in kept[:MOST_FILES]),
        more_files=max(0, len(kept) - MOST_FILES),
    )


def _sizes(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of each file below *root*, by relative path."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            with suppress(OSError):
                status = path.stat()
                found[str(path.relative_to(root))] = (status.st_size, status.st_mtime_ns)
    return found
