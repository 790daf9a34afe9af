"""Findings as SARIF 2.1.0, which GitHub, GitLab and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html; sections in the code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import Suppression
from harness.nodes.lint.finding import Edit, KeyEdit, LintFinding, Severity
from harness.nodes.lint.fix.editing import replacements
from harness.nodes.lint.fix.tree_edits import NotApplicable
from harness.nodes.lint.output.report import LintReport
from harness.nodes.lint.rule import LintRule
from harness.nodes.lint.rules import loaded_rules

__all__ = ["as_sarif"]

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"
_LOGIN_KEYS = frozenset({"auth", "username", "password", ".dockerconfigjson", ".dockercfg"})
_MOST_FIXES = 100  # of a file: for each the file is read once more


def as_sarif(report: LintReport, base: Path) -> str:
    """The log's text. Files below *base* are named relative to it."""
    every: list[tuple[LintFinding, Suppression | None]] = [
        (finding, None) for finding in report.outcome.findings
    ]
    every += report.outcome.suppressed
    wanted = {finding.rule for finding, _ in every}
    rules = [rule for rule in loaded_rules() if rule.id in wanted]
    numbers = {rule.id: number for number, rule in enumerate(rules)}
    documents = {document.path: document for document in report.documents}
    results, counted = [], Counter[str]()
    for finding, comment in every:
        result = _result(finding, comment, numbers[finding.rule], base)
        document = documents.get(finding.file)
        if document and counted[finding.file] < _MOST_FIXES:
            result |= _fixes(finding, document, base)
        counted[finding.file] += 1
        results.append(result)
    driver = {
        "name": "pullproof lint",
        "version": version("pullproof"),
        "rules": [_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {"executionSuccessful": not any(f.unreadable for f, _ in every)}  # 3.20.14
        ],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _rule(rule: LintRule) -> dict[str, Any]:
    text = f"{rule.why}. Fix: {rule.fix}. Source: {rule.source}"
    markdown = f"{rule.why}\n\n**Fix:** {rule.fix}\n\n**Source:** {rule.source}"
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": text, "markdown": markdown},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _result(
    finding: LintFinding, comment: Suppression | None, number: int, base: Path
) -> dict[str, Any]:
    of = f" (for {', '.join(finding.releases)})" if finding.releases else ""
    location = _location(finding.file, base)
    region = {"startLine": finding.spot.line, "startColumn": finding.spot.column}
    identity = "\0".join([finding.rule, location["uri"], finding.what])
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.what}{of}. {finding.why}. Fix: {finding.fix}"},
        "locations": [{"physicalLocation": {"artifactLocation": location, "region": region}}],
        "partialFingerprints": {"pullproof/v1": hashlib.sha256(_bytes(identity)).hexdigest()},
    }
    if comment is not None:  # 3.35
        justification = {"justification": comment.reason} if comment.reason else {}
        result["suppressions"] = [{"kind": "inSource", **justification}]
    return result


def _fixes(finding: LintFinding, document: Document, base: Path) -> dict[str, Any]:
    """3.55; empty if there are no edits, or if they cannot be shown."""
    if not finding.edits or any(map(_writes_a_login, finding.edits)):
        return {}  # reports are passed on to others
    try:
        changes = sorted(replacements(document, finding.edits))
    except NotApplicable:
        return {}
    body = document.text.removeprefix("\ufeff")
    skipped = len(document.text) - len(body)
    if any(change.start < skipped for change in changes):
        return {}  # 3.30.3: a region does not know of a byte order mark
    written = [
        {
            "deletedRegion": {
                **_position(body, change.start - skipped, "start"),
                **_position(body, change.end - skipped, "end"),
            },
            "insertedContent": {"text": change.text},
        }
        for change in changes
    ]
    change = {"artifactLocation": _location(finding.file, base), "replacements": written}
    return {"fixes": [{"description": {"text": finding.fix}, "artifactChanges": [change]}]}


def _writes_a_login(edit: Edit) -> bool:
    """Whether the edit writes a password, or a value that contains one."""
    return (
        isinstance(edit, KeyEdit) and edit.verb in {"set", "add"} and edit.path[-1] in _LOGIN_KEYS
    )


def _position(text: str, at: int, word: str) -> dict[str, int]:
    line = text.count("\n", 0, at) + 1
    return {f"{word}Line": line, f"{word}Column": at - text.rfind("\n", 0, at)}


def _location(path: str, base: Path) -> dict[str, str]:
    """3.4: relative to the root of the sources if the file is below it."""
    relative = Path(os.path.relpath(path, base))
    if ".." in relative.parts:
        return {"uri": "file://" + quote(_bytes(os.path.normpath(base / path)))}
    return {"uri": quote(_bytes(relative.as_posix())), "uriBaseId": _ROOT}


def _bytes(text: str) -> bytes:
    """A file name may contain bytes that are not text."""
    return text.encode(errors="surrogateescape")
