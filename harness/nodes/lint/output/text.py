"""What lint found, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from harness.nodes.lint.finding import Finding, Severity, printable
from harness.nodes.lint.output.answer import Answer
from harness.nodes.lint.output.source import source_lines

__all__ = ["as_text", "counts", "one_liners", "remarks_on_diff", "summary"]

Paint = Callable[..., str]
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def as_text(answer: Answer, paint: Paint) -> Iterator[str]:
    """Lines, by file. *paint* is ``click.style``, or something that leaves text alone."""
    documents = {document.path: document for document in answer.documents}
    for repair in answer.repairs:
        rules = ", ".join(sorted({finding.rule for finding in repair.findings}))
        yield f"{printable(repair.after.path)}: {paint('fixed', fg='green')}: {rules}"
    for path, found in groupby(answer.outcome.findings, key=lambda finding: finding.file):
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
            yield f"    fix: {finding.fix}{_repair(answer, finding)}"
            yield paint(f"    source: {finding.reference}", dim=True)
    yield summary(answer)


def _repair(answer: Answer, finding: Finding) -> str:
    if not finding.edits:
        return ""
    reason = answer.refused(finding) or answer.failed.get(finding.file)
    return f" (not fixed: {printable(reason)})" if reason else " (fixable: see --diff)"


def one_liners(answer: Answer, paint: Paint) -> Iterator[str]:
    """A line for each finding, and nothing else."""
    for finding in answer.outcome.findings:
        place = f"{printable(finding.file)}:{finding.spot.line}:{finding.spot.column}"
        yield _headline(finding, place, paint)


def _headline(finding: Finding, place: str, paint: Paint) -> str:
    severity = paint(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    of = f" [{', '.join(finding.releases)}]" if finding.releases else ""
    return f"{place}: {severity}: {finding.what} [{finding.rule}]{of}"


def summary(answer: Answer) -> str:
    """One line: how much was looked at, and what there is."""
    parts = [f"{len(answer.documents)} files and directories", counts(answer)]
    if answer.repaired:
        parts.append(f"{answer.repaired} fixed")
    if suppressed := len(answer.outcome.suppressed):
        parts.append(f"{suppressed} ignored by comments")
    return ", ".join(parts)


def counts(answer: Answer) -> str:
    """How many findings there are, by severity."""
    return ", ".join(_counted(answer.count(severity), severity) for severity in Severity)


def remarks_on_diff(answer: Answer) -> Iterator[str]:
    """What there is to say beside a diff: what it would not repair, though it has an edit, and what
    would be left."""
    for finding, reason in answer.refusals.items():
        place = f"{printable(finding.file)}:{finding.spot.line}:{finding.spot.column}"
        yield f"{place}: not fixed: {printable(reason)} [{finding.rule}]"
    yield f"{answer.repaired} fixable; after the fix: {counts(answer)}"


def _counted(number: int, severity: Severity) -> str:
    plural = "" if number == 1 or severity is Severity.INFO else "s"
    return f"{number} {severity.value}{plural}"
