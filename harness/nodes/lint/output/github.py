"""Findings as annotations, which GitHub Actions shows on the lines of a change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.nodes.lint.finding import Severity, printable
from harness.nodes.lint.output.report import LintReport
from harness.report.github import annotation

__all__ = ["as_annotations"]

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
