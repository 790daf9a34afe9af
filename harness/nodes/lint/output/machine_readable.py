"""Findings for programs: as JSON, which docs/lint-schema.json describes, as annotations that GitHub
Actions shows on the lines of a change, and a unified diff of what ``--fix`` would do.
"""

from __future__ import annotations

import difflib
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.nodes.lint.finding import LintFinding, Severity, printable
from harness.nodes.lint.fix.repair import Repair
from harness.nodes.lint.output.report import LintReport
from harness.report.github import annotation

__all__ = ["FORMAT_VERSION", "as_annotations", "as_json", "unified_diff"]


FORMAT_VERSION = 1
"""Increased when a key is removed or changes its meaning; keys may be added at any time."""


def as_json(report: LintReport) -> str:
    """The document's text. Non-ASCII characters are escaped."""
    document = {
        "version": FORMAT_VERSION,
        "findings": [
            {**_fields(finding), "not_repaired": report.refusals.get(finding)}
            for finding in report.outcome.findings
        ],
        "suppressed": [
            {**_fields(finding), "reason": comment.reason, "comment_line": comment.spot.line}
            for finding, comment in report.outcome.suppressed
        ],
        "repaired": [
            {"file": repair.after.path, "id": finding.rule, "what": finding.what}
            for repair in report.repairs
            for finding in repair.findings
        ],
        "not_written": [{"file": f, "reason": reason} for f, reason in report.failed.items()],
    }
    return json.dumps(document, indent=1)


def _fields(finding: LintFinding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "severity": finding.severity.value,
        "file": finding.file,
        "line": finding.spot.line,
        "column": finding.spot.column,
        "what": finding.what,
        "why": finding.why,
        "fix": finding.fix,
        "reference": finding.reference,
        "releases": list(finding.releases),
        "fixable": finding.fixable,
    }


_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_annotations(report: LintReport, workspace: Path) -> Iterator[str]:
    """One line for each finding. File names are relative to *workspace*."""
    for finding in report.outcome.findings:
        place = Path(os.path.relpath(finding.file, workspace)).as_posix()
        values = {
            "file": printable(place),
            "line": str(finding.spot.line),
            "col": str(finding.spot.column),
            "title": f"{finding.rule}: {finding.what}",
        }
        of = [f"for: {', '.join(finding.releases)}"] if finding.releases else []
        text = [f"why: {finding.why}", f"fix: {finding.fix}", *of, f"source: {finding.reference}"]
        yield annotation(_LEVELS[finding.severity], "\n".join([finding.what, *text]), values)


def unified_diff(repairs: Iterable[Repair]) -> Iterator[str]:
    """Its lines, each with its line break. Only a line feed ends a line, as for patch and git."""
    for repair in repairs:
        texts = (repair.before.text, repair.after.text)
        old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in texts)
        name = posixpath.normpath(repair.before.path).lstrip("/")  # git takes no "./" within
        for line in difflib.unified_diff(old, new, _quoted("a/" + name), _quoted("b/" + name)):
            yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _quoted(path: str) -> str:
    """*path* as git quotes it, if it is not plain."""
    if path.isprintable() and path.isascii() and '"' not in path and "\\" not in path:
        return path
    raw = path.encode(errors="surrogateescape")
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in raw)
    return f'"{"".join(plain)}"'
