"""Repairing documents, pass after pass, until nothing changes any more. Pure.

An edit counts only if what it was for is gone afterwards, if the file can still be read, and if the
same rule does not now hit for a release for which it did not before: ``addr`` of redis is right for
2.8 and ``addrs`` for 3.x, so that a file which is asked about for both stays as it is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from harness.nodes.lint.documents import Document, Unread
from harness.nodes.lint.engine import UNREADABLE, Question, look
from harness.nodes.lint.finding import Finding, ReplaceText
from harness.nodes.lint.fix.pieces import Changes, NotApplicable, applied
from harness.nodes.lint.fix.replacements import Editing
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project

__all__ = ["Refusal", "Repair", "Repaired", "repaired", "with_documents"]

_MOST_PASSES = 10
_MOST_ATTEMPTS = 50  # for each file, once its edits are tried one by one


@dataclass(frozen=True)
class Refusal:
    """A finding whose edits were not made, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True)
class Repair:
    """What became of one file, and the findings that went."""

    before: Document
    after: Document
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Repaired:
    """The repaired project, the files that differ, and the edits that were not made."""

    project: Project
    repairs: tuple[Repair, ...]
    refusals: tuple[Refusal, ...]


def repaired(project: Project, question: Question) -> Repaired:
    """*project* with the edits of all findings that *question* asks for."""
    work = _Work(project, question)
    for _ in range(_MOST_PASSES):
        if not work.one_pass():
            break  # nothing changed: what is left was refused
    else:
        for finding in work.wanted(work.findings()):
            work.refuse(finding, "the edits go round in circles")
    first = {document.absolute: document for document in project.documents}
    repairs = tuple(
        Repair(first[document.absolute], document, tuple(work.done[document.absolute]))
        for document in work.project.documents
        if document.absolute in work.done and document.text != first[document.absolute].text
    )
    left = set(look(work.project, question).findings)
    refusals = (Refusal(f, reason) for f in left if (reason := work.refused.get(_key(f))))
    return Repaired(
        work.project,
        repairs,
        tuple(sorted(refusals, key=lambda r: (r.finding.file, r.finding.spot))),
    )


def with_documents(project: Project, changed: Iterable[Document]) -> Project:
    """*project* with *changed* in place of the documents of the same files."""
    new = {document.absolute: document for document in changed}
    documents = tuple(new.get(d.absolute, d) for d in project.documents)
    return Project(documents, project.roots, project.names)


_Key = tuple[str, str, object, object]


def _key(finding: Finding) -> _Key:
    return finding.file, finding.rule, finding.edits, finding.releases


@dataclass
class _Work:
    project: Project
    question: Question
    refused: dict[_Key, str] = field(default_factory=dict)
    done: dict[str, list[Finding]] = field(default_factory=dict)

    def refuse(self, finding: Finding, reason: str) -> None:
        self.refused.setdefault(_key(finding), reason)

    def findings(self, documents: Collection[Document] | None = None) -> tuple[Finding, ...]:
        return look(self.project, self.question, documents).findings

    def wanted(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those whose edits were not refused before."""
        return [f for f in findings if f.edits and _key(f) not in self.refused]

    def one_pass(self) -> bool:
        """Make the edits of every file at once, and of those where that goes wrong one by one.
        Whether anything changed."""
        before = _by_file(self.findings())
        wanted = _by_file(self.wanted(f for some in before.values() for f in some))
        if not wanted:
            return False
        old = {d.path: d for d in self.project.documents if d.path in wanted}
        tried = {path: self.attempt(old[path], wanted[path]) for path in old}
        changed = [document for document, made in tried.values() if made]
        self.project = with_documents(self.project, changed)
        after = _by_file(self.findings(changed))
        wrong = []
        for path, (new, made) in tried.items():
            if made and _objection(new, made, before[path], after.get(path, ())):
                wrong.append(old[path])
            elif made:
                self.keep(new, made)
        self.project = with_documents(self.project, wrong)
        one_by_one = [self.one_by_one(document) for document in wrong]
        return len(changed) > len(wrong) or any(one_by_one)

    def keep(self, new: Document, made: Sequence[Finding]) -> None:
        """Count *made* as done. What was refused may be possible in the file as it is now."""
        self.done.setdefault(new.absolute, []).extend(made)
        self.refused = {key: why for key, why in self.refused.items() if key[0] != new.path}

    def attempt(
        self, document: Document, findings: Sequence[Finding]
    ) -> tuple[Document, list[Finding]]:
        """*document* with the edits of *findings*, and those that were made: what touches an edit
        that was made already waits for the next pass, as does everything but the syntax as long
        as that is wrong. Where they cannot be made together, the document is an ``Unread``."""
        lines_first = [f for f in findings if any(isinstance(e, ReplaceText) for e in f.edits)]
        editing = Editing(document)
        made: list[Finding] = []
        changes = Changes()
        expected = None
        for finding in lines_first or findings:
            try:
                some = editing.found(finding.edits)
                if not lines_first:
                    alone = editing.expected(editing.before, finding.edits)
            except NotApplicable as why:
                self.refuse(finding, str(why))
                continue
            if not changes.has(some):
                if changes.touch(some):
                    continue
                if not lines_first:
                    try:
                        expected = editing.expected(expected, finding.edits) if made else alone
                    except NotApplicable:
                        continue  # its place goes by another name now
                changes.add(some)
            made.append(finding)
        if not made:
            return document, []
        try:
            if not lines_first:
                editing.verify(changes, expected)
        except NotApplicable as why:
            if len(made) == 1:
                self.refuse(made[0], str(why))
                return document, []
            return Unread(document.path, document.absolute, Kind.INPUT, "", "PPX005"), made
        return _read(document, applied(document.text, changes)), made

    def one_by_one(self, document: Document) -> bool:
        """Whether any edit could be made."""
        first = document
        for attempt in itertools.count():
            before = self.findings([document])
            wanted = self.wanted(before)
            if not wanted:
                break
            if attempt >= _MOST_ATTEMPTS:
                for finding in wanted:
                    self.refuse(finding, "too many edits of this file go wrong")
                break
            finding = wanted[0]
            new, made = self.attempt(document, [finding])
            if not made:
                continue
            stayed = self.project
            self.project = with_documents(stayed, [new])
            objection = _objection(new, made, before, self.findings([new]))
            if objection:
                self.project = stayed
                self.refuse(finding, objection)
            else:
                document = new
                self.keep(new, made)
        return document is not first


def _by_file(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.file, []).append(finding)
    return found


def _read(document: Document, text: str) -> Document:
    found = parsed(document.path, document.absolute, text.encode(), named=True)
    assert found is not None
    return found


def _objection(
    new: Document, made: Sequence[Finding], before: Sequence[Finding], after: Sequence[Finding]
) -> str:
    """What speaks against the edits of *made*; nothing where all is well."""
    worse = isinstance(new, Unread) and new.cause in UNREADABLE
    if worse:
        return "the file could not be read afterwards"
    if any(isinstance(edit, ReplaceText) for finding in made for edit in finding.edits):
        # What is wrong behind the first mistake is not known before that one is gone.
        places = {(f.rule, f.spot.line) for f in made}
        gone = not any((f.rule, f.spot.line) in places for f in after)
        return "" if gone else "the mistake would still be there"
    if isinstance(new, Unread):
        return "the file could not be read afterwards"
    said = {(f.rule, f.what, f.releases) for f in made}
    most = Counter((f.rule, f.what, f.releases) for f in before)
    most.subtract((f.rule, f.what, f.releases) for f in made)
    left = Counter((f.rule, f.what, f.releases) for f in after)
    if any(left[key] > max(0, most[key]) for key in said):
        return "the mistake would still be there"
    for rule in {f.rule for f in made}:
        known, now = _releases(rule, before), _releases(rule, after)
        if "" not in known and not now <= known:
            return "right for one release, wrong for another: name yours"
    return ""


def _releases(rule: str, findings: Sequence[Finding]) -> set[str]:
    """Those for which *rule* hits; an empty one stands for all that were asked about."""
    return {release for f in findings if f.rule == rule for release in f.releases or ("",)}
