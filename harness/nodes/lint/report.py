"""The result of a run of lint, and its text for people.

The line of a finding is shown with a caret, without control characters and secrets.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from harness.nodes.lint.documents import Document, Unread
from harness.nodes.lint.engine import Outcome
from harness.nodes.lint.finding import LintFinding, Severity, printable
from harness.nodes.lint.fix.repair import Repair
from harness.nodes.lint.kinds import Kind

Paint = Callable[..., str]
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_SECRET_FILES = frozenset({Kind.HTPASSWD, Kind.LOGINS, Kind.SCHEDULE})
_SECRET_VALUE = re.compile(
    r"""(?ix)
    ( (?: password | passwd | secret | token | auth | credential | cookie | dockerconfigjson
        | dockercfg ) [\w"'.-]* \s* [:=]+ \s* ) [^\s\[{\#] .*
    | ( header s? \s* [:=]+ \s* [\[{] ) .*
    """
)
_USER = re.compile(r"(://)[^\s/@'\"]*@")
_LONG = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")  # base64: a secret of Kubernetes
_WIDEST = 100
_BEFORE = 60
_LONGEST = 1000  # of a line that is longer nothing is shown


@dataclass(frozen=True)
class LintReport:
    """``outcome`` is what is left where files were repaired; ``repairs`` are those that were
    written; ``failed`` names files that could not be written, with the reason."""

    documents: Sequence[Document]
    outcome: Outcome
    repairs: Sequence[Repair] = ()
    refusals: Mapping[LintFinding, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def repaired(self) -> int:
        """The number of fixed findings."""
        return sum(len(repair.findings) for repair in self.repairs)


def as_text(report: LintReport, paint: Paint) -> Iterator[str]:
    """Lines, grouped by file. *paint* is ``click.style``, or returns its text unchanged."""
    documents = {document.path: document for document in report.documents}
    for repair in report.repairs:
        rules = ", ".join(sorted({finding.rule for finding in repair.findings}))
        yield f"{printable(repair.after.path)}: {paint('fixed', fg='green')}: {rules}"
    for path, found in groupby(report.outcome.findings, key=lambda finding: finding.file):
        yield paint(printable(path), bold=True)
        for finding in found:
            yield _headline(finding, f"  {finding.spot.line}:{finding.spot.column}", paint)
            source = _source_lines(documents.get(path), finding)
            if source is not None:
                number = str(finding.spot.line)
                yield paint(f"    {number} | ", dim=True) + source[0]
                mark = paint(source[1], fg=_COLOURS[finding.severity])
                yield paint(f"    {' ' * len(number)} | ", dim=True) + mark
            yield f"    why: {finding.why}"
            yield f"    fix: {finding.fix}{_repair(report, finding)}"
            yield paint(f"    source: {finding.reference}", dim=True)
    parts = [f"{len(report.documents)} files and directories", _counts(report)]
    if report.repaired:
        parts.append(f"{report.repaired} fixed")
    if suppressed := len(report.outcome.suppressed):
        parts.append(f"{suppressed} ignored by comments")
    yield ", ".join(parts)


def _repair(report: LintReport, finding: LintFinding) -> str:
    if not finding.edits:
        return ""
    reason = report.refusals.get(finding) or report.failed.get(finding.file)
    return f" (not fixed: {printable(reason)})" if reason else " (fixable: see --diff)"


def one_liners(report: LintReport, paint: Paint) -> Iterator[str]:
    """One line for each finding."""
    for finding in report.outcome.findings:
        yield _headline(finding, _place(finding), paint)


def _place(finding: LintFinding) -> str:
    return f"{printable(finding.file)}:{finding.spot.line}:{finding.spot.column}"


def _headline(finding: LintFinding, place: str, paint: Paint) -> str:
    severity = paint(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    of = f" [{', '.join(finding.releases)}]" if finding.releases else ""
    return f"{place}: {severity}: {finding.what} [{finding.rule}]{of}"


def _counts(report: LintReport) -> str:
    """The number of findings by severity."""
    found = Counter(finding.severity for finding in report.outcome.findings)
    plurals = {s: "" if found[s] == 1 or s is Severity.INFO else "s" for s in Severity}
    return ", ".join(f"{found[s]} {s.value}{plurals[s]}" for s in Severity)


def remarks_on_diff(report: LintReport) -> Iterator[str]:
    """The lines after a diff: fixable findings that it does not fix, and the number of findings
    that remain."""
    for finding, reason in report.refusals.items():
        yield f"{_place(finding)}: not fixed: {printable(reason)} [{finding.rule}]"
    yield f"{report.repaired} fixable; after the fix: {_counts(report)}"


def _source_lines(document: Document | None, finding: LintFinding) -> tuple[str, str] | None:
    """The line and the line with the caret. None if there is no such line, or if it may contain a
    secret."""
    if document is None or document.kind in _SECRET_FILES or not document.text:
        return None
    if isinstance(document, Unread) and not document.edits:
        return None  # where one mistake hides what is a key and what is a password
    lines = document.text.splitlines()
    if finding.spot.line > len(lines):
        return None
    line = lines[finding.spot.line - 1]
    if len(line) > _LONGEST:
        return None
    column = min(finding.spot.column, len(line) + 1)
    first = max(0, column - _BEFORE)
    front = _masked(line[: column - 1])[first:] if column > 1 else ""
    whole = _masked(line)
    if not whole.startswith(_masked(line[: column - 1])):  # the caret is within what is hidden
        first, front = 0, ""
    shown = printable(whole[first : first + _WIDEST].replace("\ufeff", ""))
    return shown, " " * _width(printable(front)) + "^"


def _masked(line: str) -> str:
    line = _SECRET_VALUE.sub(lambda match: (match[1] or match[2]) + "***", line)
    return _LONG.sub("***", _USER.sub(r"\1***@", line))


def _width(text: str) -> int:
    """The width of *text* in columns of a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    narrow = sum(unicodedata.combining(c) > 0 for c in text)
    return len(text) + wide - narrow
