"""Everything that a target showed in one scenario, as plain data.

An :class:`Observation` is taken after all servers of the scenario have stopped. Recordings keep
observations and the differential compares them. Texts are normalised first, so that two
runs on one target give equal observations.

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
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from harness.http.client import CLIENT_LEFT, Exchange
from harness.system.disk import Disk
from harness.targets.readings import FILE_NAME, StateEntry
from harness.upstream.ledger import LedgerEntry

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


# -- normalisation -------------------------------------------------------------------------------
#
# Removes what differs between two runs of the same registry. Each rule has a reason, and is as
# narrow as possible, since it could hide a difference between registries.


_UUID = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"

TEXTS: tuple[tuple[str, str, str], ...] = (
    (_UUID, "<uuid>", "upload sessions have random names"),
    (r"(_state=)[^&\s\"]+", r"\1<state>", "signs the time at which the upload began"),
    (
        r"(?:127\.0\.0\.1|localhost|\[::1\]):\d+",
        "<loopback>",
        "every server of a test has a port of its own",
    ),
    (r'("Port": ?)[1-9]\d*', r"\1<port>", "a port, as Go marshals an address"),
    (
        r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        "<date>",
        "the time of the run",
    ),
    (
        r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)",
        "<time>",
        "the time of the run",
    ),
    (r"(boundary=|^--|\n--)[0-9a-f]{32,70}", r"\1<boundary>", "parts have a random boundary"),
    (
        r"\(received \d+ bytes, expected \d+\)",
        "(received less than expected)",
        "body and Content-Length are compared on their own",
    ),
    (
        r'"signatures": ?\[\s*\{.*?\}\s*\]',
        '"signatures": <signatures>',
        "2.8 signs schema 1 with a key that it generates at startup",
    ),
    (r"/proc/\d+/root", "", "the path into the mount namespace of a small disk"),
    (r"\bsince \d+s|\bafter \d+\.\d+s", "<duration>", "how long something took"),
)
"""Pattern, replacement and reason, in the order in which they apply to header values, paths, bodies
and errors."""

HEADERS: Mapping[str, str] = {
    "date": "the time of the run",
    "connection": "belongs to one connection (RFC 9110, 7.6.1)",
    "keep-alive": "belongs to one connection",
    "transfer-encoding": "belongs to one connection; Content-Length is compared",
    "host": "every server of a test has a port of its own",
    "server": "names the program, not its behaviour",
}
"""Header lines that are not compared, with the reason."""

FILES: Mapping[str, str] = {
    "*/_uploads/*/startedat": "the time at which the upload began",
    "*/_uploads/*/data": "how much of an interrupted upload reached the disk is random",
    "*/_uploads/*/hashstates/*": "the internal state of a hash, in a format of each implementation",
}
"""Files whose existence is compared, but not their content, with the reason."""

_OWN = ".pullproof/"
"""The reference registry's own files, which other registries do not have and which are not
compared."""


def file_content(path: str, sha256: str) -> str:
    """How the content of the file at *path* is compared: by the first digits of its hash, as
    ``as named`` where that is what a content-addressed path says, or not at all."""
    if any(fnmatchcase(path, pattern) for pattern in FILES):
        return "present"
    return "as named" if path.endswith(f"/{sha256}/data") else f"sha256 {sha256[:12]}"


@dataclass(frozen=True)
class Names:
    """Normalises texts. *known* maps exact texts of one run, such as an upstream's URL or a
    directory, to names for them; it applies before the rules."""

    known: Mapping[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """*text* after all rules."""
        for exact in sorted(self.known, key=len, reverse=True):
            text = text.replace(exact, self.known[exact])
        for pattern, replacement, _ in TEXTS:
            text = re.sub(pattern, replacement, text)
        return text

    def body(self, body: str) -> str:
        """A body; keys of JSON objects in alphabetical order, since Go's maps have no order."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return self.text(body)
        if not isinstance(document, dict | list):
            return self.text(body)
        ordered = json.dumps(document, sort_keys=True, ensure_ascii=False)
        # Half a surrogate pair, which JSON can escape, could not be written to a recording.
        ordered = ordered.encode("utf-8", "backslashreplace").decode()
        return self.text(ordered + ("\n" if body.endswith("\n") else ""))


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
        if name.lower() not in HEADERS:
            lines.setdefault(name.lower(), []).append(names.text(value))
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


def observed_upstream(entries: Iterable[LedgerEntry], number: int, names: Names) -> dict[str, int]:
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
        if path != FILE_NAME and not path.startswith(_OWN):
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
