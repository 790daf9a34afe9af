"""The requests that reached a mock upstream, and which of them it expects. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from typing import Literal, TypedDict, Unpack

import httpx

from harness.http.conversation import next_order
from harness.http.redaction import redact_headers
from harness.upstream.calls import Kind, Match, RegistryCall, What


def nearest(line: str, expected: Sequence[str]) -> str:
    """A sentence with the one of *expected* that is most like *line*, and where they differ."""
    found = get_close_matches(line, expected, n=1, cutoff=0.0)
    if not found:
        return "nothing is expected"
    same = takewhile(lambda pair: pair[0] == pair[1], zip(line, found[0], strict=False))
    common = sum(1 for _ in same)
    return f"nearest is {found[0]!r}: {found[0][common:]!r} instead of {line[common:]!r}"


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


Outcome = Literal["pending", "complete", "cut", "client left"]
"""How an answer ended: not yet, as planned, cut off by us, or by the client."""


@dataclass(frozen=True, kw_only=True)
class LedgerEntry(RegistryCall):
    """One request and its answer. Never contains a password or a token: secrets in header lines are
    replaced, and the body is left out."""

    order: int
    """Grows with time over all upstreams and clients of the process."""
    credential: str
    """``none``, ``basic:<user>``, ``bearer``, ``form:<user>`` for a token asked for by POST."""
    token_known: bool | None
    """Whether a bearer token is one that this upstream issued; None without one."""
    status: int | None = None
    """None before the answer, and if the connection was cut before it."""
    sent_bytes: int = 0
    """Bytes of the answer's body given to the connection."""
    outcome: Outcome = "pending"
    fault: str | None = None
    """The fault that this request met, in words."""
    unexpected: bool = False
    """Whether the request was not expected (``MockUpstream.strict``)."""

    def notes(self) -> list[str]:
        """Its credential, an answer that was cut off, a fault: in words."""
        notes = [] if self.credential == "none" else [self.credential]
        if self.token_known is False:
            notes.append("a token that was not issued here")
        if self.outcome != "complete":
            notes.append(self.outcome)
        if self.fault:
            notes.append(f"fault: {self.fault}")
        return notes

    def describe(self) -> str:
        """One line for people."""
        notes = self.notes()
        status = "no answer" if self.status is None else str(self.status)
        return f"{self.line} -> {status}, {self.sent_bytes} bytes" + (
            f" [{'; '.join(notes)}]" if notes else ""
        )


class Record:
    """Adds to one entry what happens to its request."""

    def __init__(self, ledger: Ledger, order: int) -> None:
        self._ledger = ledger
        self._order = order

    def note(
        self,
        *,
        status: int | None = None,
        sent: int = 0,
        outcome: Outcome | None = None,
        fault: str | None = None,
        unexpected: bool = False,
    ) -> None:
        """Add to the entry. Called before bytes are sent, so that a client that has received them
        finds them in the ledger."""
        self._ledger._update(
            self._order,
            lambda entry: replace(
                entry,
                status=entry.status if status is None else status,
                sent_bytes=entry.sent_bytes + sent,
                outcome=outcome or entry.outcome,
                fault=fault or entry.fault,
                unexpected=unexpected or entry.unexpected,
            ),
        )


class WantedCalls(TypedDict, total=False):
    """Values of entries to look for; None: any."""

    kind: Kind | None
    digest: str | None
    tag: str | None
    repository: str | None
    status: int | None


class Ledger:
    """The requests so far, in the order of their arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: dict[int, LedgerEntry] = {}
        self._watchers: list[Callable[[LedgerEntry], None]] = []

    # -- reading --------------------------------------------------------------------------------
    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """A snapshot."""
        with self._changed:
            return tuple(self._entries.values())

    def lines(self) -> list[str]:
        """``["HEAD /v2/team/app/manifests/v1", ...]``, with the query where there is one."""
        return [entry.line for entry in self.entries]

    def select(self, method: str | None = None, **wanted: Unpack[WantedCalls]) -> list[LedgerEntry]:
        """The entries that match all given values."""
        given = {"method": method, **wanted}
        return [
            entry
            for entry in self.entries
            if all(value in {None, getattr(entry, name)} for name, value in given.items())
        ]

    def count(self, method: str | None = None, **wanted: Unpack[WantedCalls]) -> int:
        """How many entries match all given values."""
        return len(self.select(method, **wanted))

    def describe(self) -> str:
        """All entries, one line each, for the message of a failed assertion."""
        return "\n".join(entry.describe() for entry in self.entries) or "(no request)"

    def assert_asked(
        self,
        method: str | None = None,
        what: What = None,
        *,
        times: int | None = None,
        kind: Kind | None = None,
        repository: str | None = None,
    ) -> list[LedgerEntry]:
        """The requests that ``MockUpstream.on`` matches with the same arguments. ``AssertionError``
        with all requests unless there are *times* of them (None: at least one)."""
        __tracebackhide__ = True
        match = Match.of(method, what, kind=kind, repository=repository)
        entries = self.entries
        found = [entry for entry in entries if match(entry)]
        if len(found) == times or (times is None and found):
            return found
        if found:
            message = [f"asked {_times(len(found))}, not {_times(times or 0)}: {match}"]
        else:
            message = [f"never asked: {match}"]
            close = get_close_matches(str(match), self.lines(), n=1, cutoff=0.0)
            message += [f"nearest is: {line}" for line in close]
        message += ["all requests:", *(f"  {line}" for line in self.describe().splitlines())]
        raise AssertionError("\n".join(message))

    # -- waiting --------------------------------------------------------------------------------
    def wait_for(
        self, predicate: Callable[[LedgerEntry], bool], timeout: float = 10.0, *, count: int = 1
    ) -> LedgerEntry:
        """Wait until *count* entries satisfy *predicate*; return the last of them.

        Raises ``TimeoutError`` with the ledger's content after *timeout* seconds.
        """

        def found() -> list[LedgerEntry]:
            return [entry for entry in self._entries.values() if predicate(entry)]

        self._wait(lambda: len(found()) >= count, timeout, "no such request")
        return found()[count - 1]

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Wait until no answer is pending. Raises ``TimeoutError`` as :meth:`wait_for` does."""

        def idle() -> bool:
            return all(entry.outcome != "pending" for entry in self._entries.values())

        self._wait(idle, timeout, "answers are pending")

    def _wait(self, condition: Callable[[], bool], timeout: float, problem: str) -> None:
        with self._changed:
            met = self._changed.wait_for(condition, timeout)
        if not met:
            raise TimeoutError(f"{problem} after {timeout} s; requests:\n{self.describe()}")

    def watch(self, watcher: Callable[[LedgerEntry], None]) -> None:
        """Call *watcher* with each entry whose answer has ended, on the server's thread."""
        with self._changed:
            self._watchers.append(watcher)

    # -- writing --------------------------------------------------------------------------------
    def clear(self) -> None:
        """Remove all entries, also those of requests in progress."""
        with self._changed:
            self._entries.clear()
            self._changed.notify_all()

    def open(self, call: RegistryCall, credential: str, token_known: bool | None) -> Record:
        """Add an entry for *call*, which has just arrived."""
        kept = {**vars(call), "body": b"", "headers": redact_headers(httpx.Headers(call.headers))}
        order = next_order()
        entry = LedgerEntry(**kept, order=order, credential=credential, token_known=token_known)
        with self._changed:
            self._entries[entry.order] = entry
            self._changed.notify_all()
        return Record(self, entry.order)

    def _update(self, order: int, change: Callable[[LedgerEntry], LedgerEntry]) -> None:
        with self._changed:
            before = self._entries.get(order)
            if before is None:
                return
            after = self._entries[order] = change(before)
            self._changed.notify_all()
            watchers = list(self._watchers)
        if before.outcome == "pending" != after.outcome:
            for watcher in watchers:
                watcher(after)
