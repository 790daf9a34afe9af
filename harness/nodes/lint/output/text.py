"""Findings as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from harness.nodes.lint.finding import LintFinding, Severity, printable
from harness.nodes.lint.output.report import LintReport
from harness.nodes.lint.output.source import source_lines

__all__ = ["as_text", "counts", "one_liners", "remarks_on_diff", "summary"]

Paint = Callable[..., str]
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


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
            source = source_lines(documents.get(path), finding)
            if source is not None:
                number = str(finding.spot.line)
                yield paint(f"    {number} | ", dim=True) + source[0]
                mark = paint(source[1], fg=_COLOURS[finding.severity])
                yield paint(f"    {' ' * len(number)} | ", dim=True) + mark
            yield f"    why: {finding.why}"
            yield f"    fix: {finding.fix}{_repair(report, finding)}"
            yield paint(f"    source: {finding.reference}", dim=True)
    yield summary(report)


def _repair(report: LintReport, finding: LintFinding) -> str:
    if not finding.edits:
        return ""
    reason = report.refused(finding) or report.failed.get(finding.file)
    return f" (not fixed: {printable(reason)})" if reason else " (fixable: see --diff)"


def one_liners(report: LintReport, paint: Paint) -> Iterator[str]:
    """One line for each finding."""
    for finding in report.outcome.findings:
        place = f"{printable(finding.file)}:{finding.spot.line}:{finding.spot.column}"
        yield _headline(finding, place, paint)


def _headline(finding: LintFinding, place: str, paint: Paint) -> str:
    severity = paint(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    of = f" [{', '.join(finding.releases)}]" if finding.releases else ""
    return f"{place}: {severity}: {finding.what} [{finding.rule}]{of}"


def summary(report: LintReport) -> str:
    """One line: the number of files and of findings."""
    parts = [f"{len(report.documents)} files and directories", counts(report)]
    if report.repaired:
        parts.append(f"{report.repaired} fixed")
    if suppressed := len(report.outcome.suppressed):
        parts.append(f"{suppressed} ignored by comments")
    return ", ".join(parts)


def counts(report: LintReport) -> str:
    """The number of findings by severity."""
    return ", ".join(_counted(report.count(severity), severity) for severity in Severity)


def remarks_on_diff(report: LintReport) -> Iterator[str]:
    """The lines after a diff: fixable findings that it does not fix, and the number of findings
    that remain."""
    for finding, reason in report.refusals.items():
        place = f"{printable(finding.file)}:{finding.spot.line}:{finding.spot.column}"
        yield f"{place}: not fixed: {printable(reason)} [{finding.rule}]"
    yield f"{report.repaired} fixable; after the fix: {counts(report)}"


def _counted(number: int, severity: Severity) -> str:
    plural = "" if number == 1 or severity is Severity.INFO else "s"
    return f"{number} {severity.value}{plural}"
