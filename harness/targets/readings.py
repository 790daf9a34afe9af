"""What a registry writes: output of ``garbage-collect``, metrics, and ``scheduler-state.json``.

The state file is one JSON object. An entry has the key ``repository@digest`` and holds ``Key``,
``ExpiryData`` (RFC 3339 in UTC) and ``EntryType`` (0 blob, 1 manifest), as distribution's
``proxy/scheduler`` writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = [
    "FILE_NAME",
    "SAVE_INTERVAL",
    "GcRun",
    "Metrics",
    "StateEntry",
    "read_state",
    "shift_expiry",
]

_MARKED = re.compile(r"\S+: marking (?:manifest|blob) (\S+) ?")
_BLOB = re.compile(r"blob eligible for deletion: (\S+)")
# 2.8 prints the digest; 3.x prints a Go struct: {<repository> <digest> [<tags>]}.
_MANIFEST = re.compile(r"manifest eligible for deletion: (?:\{\S* )?(\w+:\w+).*")
_SUMMARY = re.compile(r"\d+ blobs marked, \d+ blobs and \d+ manifests eligible for deletion")
_REPOSITORY = re.compile(r"[^\s:]+")


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
        return self._found(_REPOSITORY, 0)

    @cached_property
    def marked(self) -> set[str]:
        """The digests of the manifests and blobs that stay."""
        return self._found(_MARKED)

    @cached_property
    def eligible_blobs(self) -> set[str]:
        """The digests of the blobs it deletes."""
        return self._found(_BLOB)

    @cached_property
    def eligible_manifests(self) -> set[str]:
        """The digests of the untagged manifests it deletes (``--delete-untagged`` only)."""
        return self._found(_MANIFEST)

    @cached_property
    def summary(self) -> str | None:
        """The line with the counts, or None if the run failed before it."""
        return next(iter(self._found(_SUMMARY, 0)), None)

    def _found(self, pattern: re.Pattern[str], group: int = 1) -> set[str]:
        matches = map(pattern.fullmatch, self.stdout.split("\n"))
        return {match[group] for match in matches if match}


class Metrics(dict[str, float]):
    """Values by sample as the text format writes it, labels sorted: ``name{a="x",b="y"}``."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = tuple(samples)
        super().__init__((_written(sample), sample.value) for sample in self.samples)

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read the text exposition format. ``ValueError`` if *text* is something else."""
        families = text_string_to_metric_families(text)
        return cls(sample for family in families for sample in family.samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples called *name* that have all of *labels*; 0 if there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def _written(sample: Sample) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else sample.name


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
