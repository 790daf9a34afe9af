"""Repairing documents, pass after pass, until nothing changes. Pure.

An edit is kept only if it removes its finding, if the file can still be read, and if the
same rule does not hit for another release instead: ``addr`` of redis is right for 2.8 and ``addrs``
for 3.x, so a file that is checked for both stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from harness.nodes.lint.documents import Document, Unread
from harness.nodes.lint.engine import UNREADABLE, LintOptions, run_rules
from harness.nodes.lint.finding import LintFinding, ReplaceText
from harness.nodes.lint.fix.editing import Editing
from harness.nodes.lint.fix.tree_edits import NotApplicable, Replacement, applied, overlap
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project

_MOST_PASSES = 30


@dataclass(frozen=True)
class Repair:
    """One file before and after, and the findings that were fixed."""

    before: Document
    after: Document
    findings: tuple[LintFinding, ...]


@dataclass(frozen=True)
class Repaired:
    """The repaired project, the files that differ, and why edits of findings were not made."""

    project: Project
    repairs: tuple[Repair, ...]
    refusals: Mapping[LintFinding, str]


def repaired(project: Project, options: LintOptions) -> Repaired:
    """*project* with the edits of all findings that *options* select."""
    work = _Work(project, options)
    for _ in range(_MOST_PASSES):
        before = work.findings()
        wanted = {
            path: [f for f in some if f.edits and _key(f) not in work.refused]
            for path, some in before.items()
        }
        if not work.make(wanted, before):
            break
    first = {document.absolute: document for document in project.documents}
    repairs = tuple(
        Repair(first[document.absolute], document, tuple(work.done[document.path]))
        for document in work.project.documents
        if document.path in work.done and document.text != first[document.absolute].text
    )
    left = run_rules(work.project, options).findings
    refusals = {f: work.refused[_key(f)] for f in left if _key(f) in work.refused}
    return Repaired(work.project, repairs, refusals)


_Key = tuple[str, str, object, object]


def _key(finding: LintFinding) -> _Key:
    return finding.file, finding.rule, finding.edits, finding.releases


@dataclass
class _Work:
    project: Project
    options: LintOptions
    refused: dict[_Key, str] = field(default_factory=dict)
    done: dict[str, list[LintFinding]] = field(default_factory=dict)
    """By path."""

    def findings(
        self, documents: Collection[Document] | None = None
    ) -> dict[str, list[LintFinding]]:
        """The findings in all documents, or in some of them, by path."""
        found: dict[str, list[LintFinding]] = {}
        for finding in run_rules(self.project, self.options, documents).findings:
            found.setdefault(finding.file, []).append(finding)
        return found

    def make(
        self,
        wanted: Mapping[str, Sequence[LintFinding]],
        before: Mapping[str, Sequence[LintFinding]],
    ) -> bool:
        """Make the edits of *wanted*, all edits of a file together; if that fails, those of one
        half of its findings, or of the other. Returns whether anything changed."""
        old = {d.path: d for d in self.project.documents if d.path in wanted}
        tried = {path: self.attempt(old[path], wanted[path]) for path in old}
        tried = {path: (new, made) for path, (new, made) in tried.items() if made}
        new_documents = [new for new, _ in tried.values()]
        self.project = self.project.with_documents(new_documents)
        after = self.findings(new_documents)
        changed, wrong = False, []
        for path, (new, made) in tried.items():
            objection = _objection(new, made, before[path], after.get(path, ()))
            if objection:
                wrong.append((path, made, objection))
            else:
                changed = True
                self.done.setdefault(path, []).extend(made)
                # A rejected edit may be possible in the changed file.
                self.refused = {key: why for key, why in self.refused.items() if key[0] != path}
        self.project = self.project.with_documents([old[path] for path, _, _ in wrong])
        for path, made, objection in wrong:
            half = len(made) // 2
            if half:
                halves = ({path: made[:half]}, {path: made[half:]})
                changed |= any(self.make(some, before) for some in halves)
            else:
                self.refused.setdefault(_key(made[0]), objection)
        return changed

    def attempt(
        self, document: Document, findings: Sequence[LintFinding]
    ) -> tuple[Document, list[LintFinding]]:
        """*document* with the edits of *findings*, and those that were made. What touches an edit
        that was made already waits for the next pass, as does everything but the syntax as long
        as that is wrong. If they cannot be made together, the document is an ``Unread``."""
        syntax = [f for f in findings if any(isinstance(e, ReplaceText) for e in f.edits)]
        editing = Editing(document)
        made: list[LintFinding] = []
        changes: set[Replacement] = set()
        for finding in syntax or findings:
            try:
                some = editing.found(finding.edits)
                if not changes.issuperset(some):
                    if overlap(some, changes):
                        continue
                    editing.expect(finding.edits)
                    changes.update(some)
                made.append(finding)
            except NotApplicable as why:
                if not made:  # else the reason may be an edit of this pass
                    self.refused.setdefault(_key(finding), str(why))
        try:
            if made and not syntax:
                editing.verify(changes)
        except NotApplicable as why:
            if len(made) > 1:
                return Unread(document.path, document.absolute, Kind.INPUT, "", "PPX005"), made
            self.refused.setdefault(_key(made.pop()), str(why))
        if not made:
            return document, []
        text = applied(document.text, changes)
        found = parsed(document.path, document.absolute, text.encode(), named=True)
        assert found is not None
        return found, made


_STILL_THERE = "the finding would remain"
_UNREADABLE = "the file could not be read afterwards"


def _objection(
    new: Document,
    made: Sequence[LintFinding],
    before: Sequence[LintFinding],
    after: Sequence[LintFinding],
) -> str:
    """Why the edits of *made* must not be kept; empty if they may."""
    if isinstance(new, Unread) and new.cause in UNREADABLE:
        return _UNREADABLE
    if any(isinstance(edit, ReplaceText) for finding in made for edit in finding.edits):
        # The parser stops at the first mistake: later ones show only after it is fixed.
        places = {(f.rule, f.spot.line) for f in made}
        return _STILL_THERE if any((f.rule, f.spot.line) in places for f in after) else ""
    if isinstance(new, Unread):
        return _UNREADABLE
    known, fixed, left = (
        Counter((f.rule, f.what, f.releases) for f in some) for some in (before, made, after)
    )
    if any(left[key] > max(0, known[key] - number) for key, number in fixed.items()):
        return _STILL_THERE
    for rule in {f.rule for f in made}:
        releases, now = _releases(rule, before), _releases(rule, after)
        if "" not in releases and not now <= releases:
            return "right for one release, wrong for another: set --release or --containerd"
    return ""


def _releases(rule: str, findings: Sequence[LintFinding]) -> set[str]:
    """The releases for which *rule* hits; an empty string means all that were checked."""
    return {release for f in findings if f.rule == rule for release in f.releases or ("",)}
