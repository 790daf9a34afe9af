"""The results of a run as one JSON document, the source of all other report files.

``docs/results-schema.json`` describes it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare.data import from_data, read_json, to_data
from harness.compare.divergences import Comparison
from harness.compare.trace import Trace
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, About, Incomplete, Matrix, Result

if TYPE_CHECKING:
    from harness.report.observed import Differential
    from harness.targets import Target

SCHEMA_VERSION = 3
"""Increased whenever a reader of the previous version would misread the file."""

Document = Mapping[str, Any]


class DocumentError(Exception):
    """The file cannot be used; the text names it and the fix."""


def unstarted(targets: Sequence[str]) -> dict[str, Any]:
    """The document about a run on *targets* that was interrupted before any test."""
    rerun = [word for name in targets for word in ("-t", name)]
    return document(Matrix.of([], targets), rerun, incomplete=Incomplete(0, 0))


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


def document(
    matrix: Matrix,
    rerun: Sequence[str],
    *,
    targets: Sequence[Target] = (),
    abouts: Iterable[About] = (),
    traces: Mapping[tuple[str, str], Trace] | None = None,
    differential: Differential | None = None,
    unequal: Sequence[str] = (),
    seconds: float = 0.0,
    incomplete: Incomplete | None = None,
) -> dict[str, Any]:
    """The document about a run that ended now.

    *rerun* are arguments of ``pullproof run`` that choose the same targets, without secrets;
    *traces* are by scenario key and target name; *unequal* are the cells in which two targets of
    one release do not match, one line each; *seconds* is the duration.
    """
    baseline = differential.baseline if differential else None
    live = {target.name: target for target in targets}
    results = [result for _, row in matrix.rows for _, result in sorted(row.items())]
    made = _Document(
        schema=SCHEMA_VERSION,
        pullproof=_own_version(),
        generated=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(seconds, 1),
        incomplete=incomplete,
        rerun=tuple(rerun),
        targets=tuple(
            _Column(
                name,
                *(
                    (one.implementation, one.version, one.release, one.known_as)
                    if (one := live.get(name))
                    else (MODEL, "", "", MODEL)
                ),
                baseline is not None and baseline is one,
            )
            for name in matrix.targets
        ),
        totals={
            target: {verdict.value: matrix.count(target, verdict) for verdict in Verdict}
            for target in matrix.targets
        },
        levels={
            target: _by_level(result for result in results if result.target == target)
            for target in matrix.targets
        },
        scenarios=tuple(sorted(abouts, key=lambda about: about.key)),
        results=tuple(
            _Cell(**vars(result), trace=(traces or {}).get((result.key, result.target)))
            for result in results
        ),
        unequal=tuple(unequal),
        differential=_Compared(
            differential.baseline.name, tuple(differential.comparisons), tuple(differential.stale)
        )
        if differential
        else None,
    )
    data: dict[str, Any] = to_data(made)
    return data


def _own_version() -> str:
    try:
        return version("pullproof")
    except PackageNotFoundError:  # run from a tree that is not installed
        return ""


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
        made = read_json(path, SCHEMA_VERSION, fix)
    except ValueError as error:
        raise DocumentError(f"{path}: {error}") from error
    try:
        read = from_data(_Document, made)
        names = {target.name for target in read.targets}
        if not {result.target for result in read.results} <= names == read.totals.keys():
            raise ValueError("results of an unknown target")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DocumentError(f"{path}: not the results of a run, or damaged; {fix}") from error
    return made


# -- the page ---------------------------------------------------------------------------------
_SCRIPTS = ("diagram.js", "details.js", "report.js")
"""In the order in which they are in the page, as one script."""


def render_html(document: Mapping[str, Any]) -> str:
    """The page about *document*: one file, which needs no server and no network.

    Everything in it comes from registries, and may be hostile. The data are in a script element
    of a type that no browser runs, with ``<`` escaped, so that nothing in them ends it; the page's
    own script makes text nodes of them and never markup; and a policy in the page forbids
    everything but its own script and style (Content Security Policy Level 3, 2.3.1 hash sources).
    """
    style = _part("report.css")
    script = "(async () => {\n'use strict';\n" + "\n".join(map(_part, _SCRIPTS)) + "\n})();\n"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _part("template.html")
    # The data come last, so that no marker in them is replaced.
    slim = {**document, "results": [{**one, "trace": None} for one in document["results"]]}
    for name, text in (
        ("POLICY", policy),
        ("STYLE", style),
        ("SCRIPT", script),
        ("TRACES", _traces([one["trace"] for one in document["results"]])),
        ("DATA", _data(slim)),
    ):
        before, mark, after = page.partition(f"<!--{name}-->")
        assert mark, name
        page = before + text + after
    return page


def _part(name: str) -> str:
    return (files(__package__) / "html" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(document: Mapping[str, Any]) -> str:
    """As JSON in ASCII without ``<``, ``>`` and ``&``."""
    text = json.dumps(document, separators=(",", ":"))
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})


def _traces(traces: list[Any]) -> str:
    """As gzip in Base64: they are long and repeat themselves, and are read only when opened."""
    text = json.dumps(traces, separators=(",", ":"))
    # Without a date, so that one document gives one page.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
