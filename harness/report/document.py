"""The results of a run as one JSON document, the source of all other report files.

``docs/results-schema.json`` describes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare.trace import Trace
from harness.report.differences import comparison_from_data, comparison_to_data
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, About, Incomplete, Matrix, Result

if TYPE_CHECKING:
    from harness.report.observed import Differential
    from harness.targets import Target

__all__ = ["SCHEMA_VERSION", "DocumentError", "Run", "document", "read_document", "render_json"]

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


def document(run: Run, now: datetime) -> dict[str, Any]:
    """The document about *run*; *now* is the time of the report."""
    matrix, differential = run.matrix, run.differential
    cells = [result for _, row in matrix.rows for _, result in sorted(row.items())]
    return {
        "schema": SCHEMA_VERSION,
        "pullproof": _own_version(),
        "generated": now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(run.seconds, 1),
        "incomplete": run.incomplete and asdict(run.incomplete),
        "rerun": list(run.rerun),
        "targets": [_column(name, run) for name in matrix.targets],
        "totals": {
            target: {verdict.value: matrix.count(target, verdict) for verdict in Verdict}
            for target in matrix.targets
        },
        "levels": {
            target: _by_level(result for result in cells if result.target == target)
            for target in matrix.targets
        },
        "scenarios": [about.as_data() for about in sorted(run.abouts, key=lambda a: a.key)],
        "results": [_cell(result, run.traces) for result in cells],
        "unequal": list(run.unequal),
        "differential": differential
        and {
            "baseline": differential.baseline.name,
            "comparisons": [comparison_to_data(one) for one in differential.comparisons],
            "stale": differential.stale,
        },
    }


def _own_version() -> str:
    try:
        return version("pullproof")
    except PackageNotFoundError:  # run from a tree that is not installed
        return ""


def _column(name: str, run: Run) -> dict[str, Any]:
    target = next((one for one in run.targets if one.name == name), None)
    return {
        "name": name,
        "implementation": target.implementation if target else MODEL,
        "version": target.version if target else "",
        "release": target.release if target else "",
        "known_as": target.known_as if target else MODEL,
        "baseline": run.differential is not None and target is run.differential.baseline,
    }


def _by_level(results: Iterable[Result]) -> dict[str, dict[str, int]]:
    counts = Counter((result.level, result.verdict.value) for result in results)
    return {
        level: {verdict.value: counts[level, verdict.value] for verdict in Verdict}
        for level in sorted({level for level, _ in counts})
    }


def _cell(result: Result, traces: Mapping[tuple[str, str], Trace]) -> dict[str, Any]:
    trace = traces.get((result.key, result.target))
    return {**result.as_data(), "trace": trace.as_data() if trace else None}


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
        _check(made)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DocumentError(f"{path}: not the results of a run, or damaged; {fix}") from error
    return dict(made)


def _check(made: Document) -> None:
    """Raise ``KeyError``, ``TypeError``, ``ValueError`` or ``AttributeError`` where *made* cannot
    have come from :func:`document`."""
    for name in ("generated", "pullproof"):
        if not isinstance(made[name], str):
            raise TypeError(name)
    names = [str(target["name"]) for target in made["targets"]]
    for name in names:
        for verdict in Verdict:
            int(made["totals"][name][verdict.value])
        made["levels"][name].items()
    for about in made["scenarios"]:
        About.from_data(about)
    for cell in made["results"]:
        values = dict(cell)
        trace = values.pop("trace")
        if Result.from_data(values).target not in names:
            raise ValueError(values["target"])
        if trace is not None:
            Trace.from_data(trace)
    if made["incomplete"] is not None:
        Incomplete(**made["incomplete"])
    list(made["rerun"])
    differential = made["differential"]
    for one in differential["comparisons"] if differential else ():
        comparison_from_data(one)
