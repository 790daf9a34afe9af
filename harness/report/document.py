"""The results of a run as one JSON document, the source of all other report files.

``docs/results-schema.json`` describes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare.data import from_data, to_data
from harness.compare.divergences import Comparison
from harness.compare.trace import Trace
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, About, Incomplete, Matrix, Result

if TYPE_CHECKING:
    from harness.report.observed import Differential
    from harness.targets import Target

__all__ = [
    "SCHEMA_VERSION",
    "DocumentError",
    "Run",
    "document",
    "read_document",
    "render_json",
    "unstarted",
]

SCHEMA_VERSION = 3
"""Increased whenever a reader of the previous version would misread the file."""

Document = Mapping[str, Any]


class DocumentError(Exception):
    """The file cannot be used; the text names it and the fix."""


@dataclass(frozen=True)
class Run:
    """All that a report shows."""

    matrix: Matrix
    targets: Sequence[Target]
    abouts: Iterable[About]
    traces: Mapping[tuple[str, str], Trace]
    """By scenario key and target name."""
    differential: Differential | None
    unequal: Sequence[str]
    """Cells in which two targets of one release do not match, one line each."""
    seconds: float
    """Duration of the run."""
    incomplete: Incomplete | None
    rerun: Sequence[str]
    """Arguments of ``pullproof run`` that choose the same targets, without secrets."""


def unstarted(targets: Sequence[str]) -> dict[str, Any]:
    """The document about a run on *targets* that was interrupted before any test."""
    matrix, rerun = Matrix.of([], targets), [word for name in targets for word in ("-t", name)]
    run = Run(matrix, (), (), {}, None, (), 0.0, Incomplete(0, 0), rerun)
    return document(run, datetime.now(UTC))


@dataclass(frozen=True)
class _Column:
    name: str
    implementation: str
    version: str
    release: str
    known_as: str
    baseline: bool


@dataclass(frozen=True)
class _Cell(Result):
    trace: Trace | None = None


@dataclass(frozen=True)
class _Compared:
    baseline: str
    comparisons: tuple[Comparison, ...]
    stale: tuple[str, ...]


@dataclass(frozen=True)
class _Document:
    schema: int
    pullproof: str
    """Our version."""
    generated: str
    seconds: float
    incomplete: Incomplete | None
    rerun: tuple[str, ...]
    targets: tuple[_Column, ...]
    totals: Mapping[str, Mapping[str, int]]
    """Target and verdict to number."""
    levels: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Target, level and verdict to number."""
    scenarios: tuple[About, ...]
    results: tuple[_Cell, ...]
    unequal: tuple[str, ...]
    differential: _Compared | None


def document(run: Run, now: datetime) -> dict[str, Any]:
    """The document about *run*; *now* is the time of the report."""
    matrix, found = run.matrix, run.differential
    results = [result for _, row in matrix.rows for _, result in sorted(row.items())]
    made = _Document(
        schema=SCHEMA_VERSION,
        pullproof=_own_version(),
        generated=now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(run.seconds, 1),
        incomplete=run.incomplete,
        rerun=tuple(run.rerun),
        targets=tuple(_column(name, run) for name in matrix.targets),
        totals={
            target: {verdict.value: matrix.count(target, verdict) for verdict in Verdict}
            for target in matrix.targets
        },
        levels={
            target: _by_level(result for result in results if result.target == target)
            for target in matrix.targets
        },
        scenarios=tuple(sorted(run.abouts, key=lambda about: about.key)),
        results=tuple(
            _Cell(**vars(result), trace=run.traces.get((result.key, result.target)))
            for result in results
        ),
        unequal=tuple(run.unequal),
        differential=_Compared(found.baseline.name, tuple(found.comparisons), tuple(found.stale))
        if found
        else None,
    )
    data: dict[str, Any] = to_data(made)
    return data


def _own_version() -> str:
    try:
        return version("pullproof")
    except PackageNotFoundError:  # run from a tree that is not installed
        return ""


def _column(name: str, run: Run) -> _Column:
    target = next((one for one in run.targets if one.name == name), None)
    return _Column(
        name,
        target.implementation if target else MODEL,
        target.version if target else "",
        target.release if target else "",
        target.known_as if target else MODEL,
        run.differential is not None and target is run.differential.baseline,
    )


def _by_level(results: Iterable[Result]) -> dict[str, dict[str, int]]:
    counts = Counter((result.level, result.verdict.value) for result in results)
    return {
        level: {verdict.value: counts[level, verdict.value] for verdict in Verdict}
        for level in sorted({level for level, _ in counts})
    }


def render_json(made: Document) -> str:
    """The text of the file."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def read_document(path: Path) -> Document:
    """The document in the file at *path*, checked; :class:`DocumentError`."""
    fix = "write it again with --pullproof-json FILE"
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: not valid JSON; {fix}") from error
    schema = made.get("schema") if isinstance(made, dict) else None
    if schema != SCHEMA_VERSION:
        raise DocumentError(f"{path}: schema is {schema!r}, not {SCHEMA_VERSION}; {fix}")
    try:
        read = from_data(_Document, made)
        names = {target.name for target in read.targets}
        if not {result.target for result in read.results} <= names == read.totals.keys():
            raise ValueError("results of an unknown target")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DocumentError(f"{path}: not the results of a run, or damaged; {fix}") from error
    return dict(made)
