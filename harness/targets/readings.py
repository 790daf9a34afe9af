"""What a registry writes: output of ``garbage-collect``, metrics, and ``scheduler-state.json``.

The state file is one JSON object. An entry has the key ``repository@digest`` and holds ``Key``,
``ExpiryData`` (RFC 3339 in UTC) and ``EntryType`` (0 blob, 1 manifest), as distribution's
``proxy/scheduler`` writes it.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class GcRun:
    """Exit code and output of one run of ``garbage-collect``, and its lines as sets.

    The lines are distribution's (``registry/storage/garbagecollect.go``). Their order follows a Go
    map, so only sets can be compared.
    """

    exit_code: int
    stdout: str
    stderr: str

    @cached_property
    def repositories(self) -> set[str]:
        """The repositories it looked at."""
        return self._found(r"([^\s:]+)")

    @cached_property
    def marked(self) -> set[str]:
        """The digests of the manifests and blobs that stay."""
        return self._found(r"\S+: marking (?:manifest|blob) (\S+) ?")

    @cached_property
    def eligible_blobs(self) -> set[str]:
        """The digests of the blobs it deletes."""
        return self._found(r"blob eligible for deletion: (\S+)")

    @cached_property
    def eligible_manifests(self) -> set[str]:
        """The digests of the untagged manifests it deletes (``--delete-untagged`` only)."""
        # 2.8 prints the digest; 3.x prints a Go struct: {<repository> <digest> [<tags>]}.
        return self._found(r"manifest eligible for deletion: (?:\{\S* )?(\w+:\w+).*")

    @cached_property
    def summary(self) -> str | None:
        """The line with the counts, or None if the run failed before it."""
        counts = r"(\d+ blobs marked, \d+ blobs and \d+ manifests eligible for deletion)"
        return next(iter(self._found(counts)), None)

    def _found(self, pattern: str) -> set[str]:
        matches = (re.fullmatch(pattern, line) for line in self.stdout.split("\n"))
        return {match[1] for match in matches if match}


@dataclass(frozen=True)
class Metrics:
    """A scrape in the text exposition format."""

    samples: tuple[Sample, ...]

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read *text*. ``ValueError`` if it has another format."""
        families = text_string_to_metric_families(text)
        return cls(tuple(sample for family in families for sample in family.samples))

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples called *name* that have all of *labels*; 0 if there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


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
    unreadable: a running registry rewrites it in place, so a reader may see half of it."""
    deadline = monotonic() + _TIMEOUT
    while True:
        try:
            document = json.loads(path.read_text())
            entries = {} if document is None else document.items()
            return {name: _entry(value) for name, value in entries}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as problem:
            if monotonic() >= deadline:
                raise ValueError(f"{path.name} is damaged: {problem}") from problem
        sleep(0.01)


def _entry(value: dict[str, Any]) -> StateEntry:
    key = str(value.get("Key", ""))
    repository, _, digest = key.rpartition("@")
    kind = value.get("EntryType", 0)
    expires = value.get("ExpiryData")
    when = _NEVER_SET if expires is None else datetime.fromisoformat(expires)
    return StateEntry(key, repository, digest, _KINDS.get(kind, str(kind)), when)


def shift_expiry(content: str, by: timedelta) -> str:
    """The file's *content* with every ``ExpiryData`` moved *by* (negative: into the past). Values
    that are not dates stay."""
    document = json.loads(content)
    for entry in (document or {}).values():
        with suppress(ValueError, OverflowError, KeyError, TypeError):
            moved = datetime.fromisoformat(entry["ExpiryData"]) + by
            text = moved.astimezone(UTC).replace(tzinfo=None).isoformat()
            # Go's time.RFC3339Nano: without trailing zeros in the fraction.
            entry["ExpiryData"] = (text.rstrip("0") if "." in text else text) + "Z"
    return json.dumps(document, separators=(",", ":"))
