"""Findings for programs: JSON (docs/lint-schema.json), SARIF 2.1.0 for GitHub, GitLab and editors,
annotations of GitHub Actions, and a unified diff of what ``--fix`` would do.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html; sections in the code.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import Suppression
from harness.nodes.lint.finding import Edit, KeyEdit, LintFinding, Severity, printable
from harness.nodes.lint.fix.editing import replacements
from harness.nodes.lint.fix.repair import Repair
from harness.nodes.lint.fix.tree_edits import NotApplicable
from harness.nodes.lint.report import LintReport
from harness.nodes.lint.rule import LintRule
from harness.nodes.lint.rules import loaded_rules
from harness.report.github import annotation

_FORMAT_VERSION = 1
"""Increased when a key is removed or changes its meaning; keys may be added at any time."""


def as_json(report: LintReport) -> str:
    """The document's text. Non-ASCII characters are escaped."""
    document = {
        "version": _FORMAT_VERSION,
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
        "fixable": bool(finding.edits),
    }


_ANNOTATION_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


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
        yield annotation(
            _ANNOTATION_LEVELS[finding.severity], "\n".join([finding.what, *text]), values
        )


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


# -- SARIF --------------------------------------------------------------------------------------
_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
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
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
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
        "level": _SARIF_LEVELS[finding.severity],
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
