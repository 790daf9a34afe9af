"""What lint found, as JSON; docs/lint-schema.json describes it."""

from __future__ import annotations

import json
from typing import Any

from harness.nodes.lint.finding import Finding
from harness.nodes.lint.output.answer import Answer

__all__ = ["FORMAT_VERSION", "as_json"]

FORMAT_VERSION = 1
"""Raised where a key goes, or means something else; new keys may come at any time."""


def as_json(answer: Answer) -> str:
    """The document's text. Characters beyond ASCII are escaped, so that nothing is printed raw."""
    document = {
        "version": FORMAT_VERSION,
        "findings": [
            {**_told(finding), "not_repaired": answer.refused(finding) or None}
            for finding in answer.outcome.findings
        ],
        "suppressed": [
            {**_told(finding), "reason": comment.reason, "comment_line": comment.spot.line}
            for finding, comment in answer.outcome.suppressed
        ],
        "repaired": [
            {"file": repair.after.path, "id": finding.rule, "what": finding.what}
            for repair in answer.repairs
            for finding in repair.findings
        ],
        "not_written": [{"file": f, "reason": reason} for f, reason in answer.failed.items()],
    }
    return json.dumps(document, indent=1)


def _told(finding: Finding) -> dict[str, Any]:
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
