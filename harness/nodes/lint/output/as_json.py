"""Findings as JSON; docs/lint-schema.json describes it."""

from __future__ import annotations

import json
from typing import Any

from harness.nodes.lint.finding import LintFinding
from harness.nodes.lint.output.report import LintReport

__all__ = ["FORMAT_VERSION", "as_json"]

FORMAT_VERSION = 1
"""Increased when a key is removed or changes its meaning; keys may be added at any time."""


def as_json(report: LintReport) -> str:
    """The document's text. Non-ASCII characters are escaped."""
    document = {
        "version": FORMAT_VERSION,
        "findings": [
            {**_fields(finding), "not_repaired": report.refused(finding) or None}
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
